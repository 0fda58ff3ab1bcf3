//! The machine of a demonstration: healthy, then with a worn bearing.

use dunlin_host::data::Examples;
use dunlin_host::recipe::Recipe;
use dunlin_host::simulate::{self, Condition, Phase};

/// Monitoring windows before and after the machine changes.
pub const WINDOWS: usize = 6;

/// A machine that is not in the training data: healthy, then with a worn bearing.
pub fn changing(recipe: &Recipe, like: &Examples) -> Examples {
    let settings = &recipe.data.simulation.clone().unwrap_or_default();
    let inputs_per_window =
        (recipe.monitor.window.ms as f64 / simulate::window_ms(settings)).ceil() as usize;
    let windows = WINDOWS * inputs_per_window;
    let unseen = (Condition::ALL.len() * settings.sessions) as u32;
    let phases = [
        Phase {
            windows,
            ..Phase::default()
        },
        Phase {
            condition: Condition::Bearing,
            severity: 1.0,
            windows,
            ..Phase::default()
        },
    ];
    let mut examples = Examples::new(like.schema.clone(), like.label_names.clone());
    for window in simulate::stream(settings, unseen, &phases) {
        examples.inputs.extend(&window.values);
        examples.labels.push(
            Condition::ALL
                .iter()
                .position(|of| *of == window.condition)
                .unwrap_or(0) as u32,
        );
        examples.time_ms.push(window.time_ms);
        examples.group.push(window.session);
    }
    examples
}
