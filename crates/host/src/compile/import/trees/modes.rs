//! Node modes as tests `x ≤ t`.

use crate::compile::forest::{Threshold, TreeNode};

/// What a branch compares with its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
}

impl Mode {
    /// The mode of a `TreeEnsembleClassifier` or `TreeEnsembleRegressor`.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "BRANCH_LEQ" => Mode::AtMost,
            "BRANCH_LT" => Mode::Below,
            "BRANCH_GTE" => Mode::AtLeast,
            "BRANCH_GT" => Mode::Above,
            "BRANCH_EQ" => Mode::Equal,
            "BRANCH_NEQ" => Mode::Unequal,
            _ => return None,
        })
    }

    /// The mode of a `TreeEnsemble`.
    pub fn of_code(code: u8) -> Option<Self> {
        let modes = [
            Mode::AtMost,
            Mode::Below,
            Mode::AtLeast,
            Mode::Above,
            Mode::Equal,
            Mode::Unequal,
        ];
        modes.get(usize::from(code)).copied()
    }
}

/// A branch as ONNX has it: where it leads if its test holds, and if not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    pub mode: Mode,
    pub feature: usize,
    pub value: f32,
    /// Whether a NaN counts as a test that holds.
    pub nan_holds: bool,
    pub holds: usize,
    pub fails: usize,
}

impl Test {
    /// Puts the branch at `place`; a second one, where it needs one, behind all others.
    ///
    /// `x < v` is `x ≤` the number before `v`. `x ≥ v` and `x > v` are `x < v` and `x ≤ v` with
    /// the sides exchanged, but for a NaN, which fails all four. `x = v` is `x ≤ v` without
    /// `x < v`. No number holds against a NaN, and every one is unequal to it.
    pub fn write(self, nodes: &mut Vec<TreeNode>, place: usize) {
        let (at_most, below) = (Threshold::at_most(self.value), Threshold::below(self.value));
        let (holds, fails) = (self.holds, self.fails);
        nodes[place] = match self.mode {
            Mode::AtMost => self.branch(at_most, self.nan_holds, holds, fails),
            Mode::Below => self.branch(below, self.nan_holds, holds, fails),
            Mode::AtLeast | Mode::Above if self.value.is_nan() => {
                self.branch(at_most, self.nan_holds, holds, fails)
            }
            Mode::AtLeast => self.branch(below, !self.nan_holds, fails, holds),
            Mode::Above => self.branch(at_most, !self.nan_holds, fails, holds),
            Mode::Equal => {
                nodes.push(self.branch(below, false, fails, holds));
                self.branch(at_most, self.nan_holds, nodes.len() - 1, fails)
            }
            Mode::Unequal => {
                nodes.push(self.branch(below, false, holds, fails));
                self.branch(at_most, false, nodes.len() - 1, holds)
            }
        };
    }

    fn branch(
        &self,
        threshold: Threshold,
        nan_goes_left: bool,
        left: usize,
        right: usize,
    ) -> TreeNode {
        TreeNode::Branch {
            feature: self.feature,
            threshold,
            nan_goes_left,
            left,
            right,
        }
    }
}
