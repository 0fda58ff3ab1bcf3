//! What must hold of a recipe beyond its types.

mod data;
mod model;
mod simulation;
mod size;
mod split;

use super::position::{Place, Positions};
use super::{Problem, Recipe};

/// Every problem of a recipe, in the order of their lines.
pub(super) fn problems(recipe: &Recipe, positions: &Positions) -> Vec<Problem> {
    let mut check = Check {
        recipe,
        positions,
        problems: Vec::new(),
    };
    check.heading();
    check.data();
    check.columns();
    check.simulation();
    check.target();
    check.split();
    check.features();
    check.train();
    check.gates();
    check.device();
    check.targets();
    check.sizes();
    check
        .problems
        .sort_by_key(|problem| (problem.line, problem.column));
    check.problems
}

struct Check<'a, 't> {
    recipe: &'a Recipe,
    positions: &'a Positions<'t>,
    problems: Vec<Problem>,
}

impl Check<'_, '_> {
    fn problem(&mut self, key: impl Into<String>, message: impl Into<String>) {
        let key = key.into();
        let Place { line, column } = self.positions.place(&key);
        self.problems.push(Problem {
            file: self.recipe.path.clone(),
            line,
            column,
            key,
            message: message.into(),
        });
    }

    fn require(&mut self, holds: bool, key: impl Into<String>, message: impl FnOnce() -> String) {
        if !holds {
            self.problem(key, message());
        }
    }

    fn fraction(&mut self, key: &str, value: Option<f64>) {
        let inside = value.is_none_or(|value| value > 0.0 && value < 1.0);
        self.require(inside, key, || {
            format!(
                "found {}, expected a share above 0 and below 1",
                value.unwrap_or_default()
            )
        });
    }
}
