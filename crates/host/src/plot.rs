//! Plots as SVG text, for reports that must work without a network.
//!
//! Runs on the workstation. Cost: milliseconds per plot; text grows with the number of points, so callers thin long
//! series first. Foregrounds are drawn in `currentColor` and backgrounds are left out, so that a page's light or
//! dark colours reach into the plot.
//!
//! ```
//! use dunlin_host::plot::{Axes, Mark, Series, lines};
//! let axes = Axes { title: "Loss", x_label: "epoch", y_label: "loss", ..Axes::default() };
//! let series = [Series { name: "train", points: vec![(0.0, 1.0), (1.0, 0.5)], mark: Mark::Line }];
//! assert!(lines(&axes, &series)?.starts_with("<svg"));
//! # Ok::<(), dunlin_host::plot::PlotError>(())
//! ```
//!
//! **Architecture invariants**: no files, no fonts, no scripts; equal input gives equal text.

mod canvas;

#[cfg(test)]
mod tests;

use canvas::{
    cartesian, category_at, colour, draw, draw_boxes, draw_row, draw_series, empty, inked,
    is_finite, legend, plain_mesh, span,
};

/// Why a plot could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlotError {
    /// There is nothing to draw.
    #[error("nothing to plot in {title:?}")]
    Empty {
        /// Title of the plot.
        title: String,
    },
    /// The library refused.
    #[error("plotting {title:?}: {reason}")]
    Draw {
        /// Title of the plot.
        title: String,
        /// What the library said.
        reason: String,
    },
}

/// Title, labels and ranges. A range left out is taken from the data.
#[derive(Debug, Clone, Copy, Default)]
pub struct Axes<'a> {
    /// Above the plot.
    pub title: &'a str,
    /// Below the plot.
    pub x_label: &'a str,
    /// Left of the plot.
    pub y_label: &'a str,
    /// From and to.
    pub x_range: Option<(f64, f64)>,
    /// From and to.
    pub y_range: Option<(f64, f64)>,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Joined.
    Line,
    /// Joined, thin and pale: a reference.
    Reference,
    /// Dots.
    Dots,
    /// Joined dots.
    LineAndDots,
}

/// Points under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Series<'a> {
    /// Name in the legend; none when empty.
    pub name: &'a str,
    /// x and y; points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// How they are drawn.
    pub mark: Mark,
}

/// Values of one name, one per category or bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars<'a> {
    /// Name in the legend; none when empty.
    pub name: &'a str,
    /// One value per category or bin.
    pub values: Vec<f64>,
}

/// Series over numeric axes.
///
/// # Errors
/// [`PlotError::Empty`] without a finite point.
pub fn lines(axes: &Axes, series: &[Series]) -> Result<String, PlotError> {
    let finite: Vec<(f64, f64)> = series
        .iter()
        .flat_map(|one| one.points.iter().copied())
        .filter(is_finite)
        .collect();
    let x_range = axes
        .x_range
        .or_else(|| span(finite.iter().map(|point| point.0)));
    let y_range = axes
        .y_range
        .or_else(|| span(finite.iter().map(|point| point.1)));
    let (Some(x_range), Some(y_range)) = (x_range, y_range) else {
        return Err(empty(axes));
    };
    draw(axes, |area| {
        let mut chart = cartesian(axes, &area, x_range, y_range)?;
        plain_mesh(&mut chart, axes)?;
        for (index, one) in series.iter().enumerate() {
            draw_series(&mut chart, one, colour(index))?;
        }
        legend(&mut chart, series.iter().any(|one| !one.name.is_empty()))
    })
}

/// Bars side by side per category.
///
/// # Errors
/// [`PlotError::Empty`] without categories or values.
pub fn bars(axes: &Axes, categories: &[&str], groups: &[Bars]) -> Result<String, PlotError> {
    if categories.is_empty() || groups.is_empty() {
        return Err(empty(axes));
    }
    let names: Vec<String> = categories.iter().map(|&name| name.to_owned()).collect();
    let category = |x: &f64| category_at(&names, *x);
    let x_range = (-0.5, categories.len() as f64 - 0.5);
    draw(axes, |area| {
        let mut chart = cartesian(axes, &area, x_range, height(axes, groups))?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh()
            .x_labels(2 * categories.len() + 1)
            .x_label_formatter(&category);
        inked(&mut mesh, axes).draw()?;
        let width = 0.8 / groups.len() as f64;
        for (index, group) in groups.iter().enumerate() {
            let left = |place: usize| place as f64 - 0.4 + index as f64 * width;
            let values = group.values.iter().enumerate();
            let boxes = values.map(|(place, &value)| (left(place), left(place) + width, value));
            draw_boxes(&mut chart, boxes.collect(), group.name, colour(index))?;
        }
        legend(&mut chart, are_named(groups))
    })
}

/// Values over bins: `edges` has one number more than each group has values and rises.
///
/// Groups are drawn over each other, half transparent.
///
/// # Errors
/// [`PlotError::Empty`] without bins, or when edges and values do not fit.
pub fn histogram(axes: &Axes, edges: &[f64], groups: &[Bars]) -> Result<String, PlotError> {
    let fits = groups
        .iter()
        .all(|group| group.values.len() + 1 == edges.len());
    let x_range = axes.x_range.or_else(|| span(edges.iter().copied()));
    let (Some(x_range), true, false) = (x_range, fits, groups.is_empty()) else {
        return Err(empty(axes));
    };
    draw(axes, |area| {
        let mut chart = cartesian(axes, &area, x_range, height(axes, groups))?;
        plain_mesh(&mut chart, axes)?;
        for (index, group) in groups.iter().enumerate() {
            let bins = edges.windows(2).zip(&group.values);
            let boxes = bins.map(|(edge, &value)| (edge[0], edge[1], value));
            draw_boxes(&mut chart, boxes.collect(), group.name, colour(index))?;
        }
        legend(&mut chart, are_named(groups))
    })
}

/// A table of counts, rows being truths and columns answers, shaded by share of the row.
///
/// # Errors
/// [`PlotError::Empty`] without classes.
pub fn matrix(axes: &Axes, names: &[&str], counts: &[Vec<u64>]) -> Result<String, PlotError> {
    let classes = names.len();
    if classes == 0 || counts.len() != classes || counts.iter().any(|row| row.len() != classes) {
        return Err(empty(axes));
    }
    let labels: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let from_left = |x: &f64| category_at(&labels, *x);
    let from_top = |y: &f64| category_at(&labels, (classes as f64 - 1.0) - y);
    draw(axes, |area| {
        let range = (-0.5, classes as f64 - 0.5);
        let mut chart = cartesian(axes, &area, range, range)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_mesh()
            .x_labels(2 * classes + 1)
            .y_labels(2 * classes + 1)
            .x_label_formatter(&from_left)
            .y_label_formatter(&from_top);
        inked(&mut mesh, axes).draw()?;
        for (row, line) in counts.iter().enumerate() {
            draw_row(&mut chart, row, line)?;
        }
        Ok(())
    })
}

/// The range of the bars' axis: from 0 to a little above the highest.
fn height(axes: &Axes, groups: &[Bars]) -> (f64, f64) {
    let values = groups.iter().flat_map(|group| &group.values).copied();
    let highest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
    let room = if highest > 0.0 { highest * 1.05 } else { 1.0 };
    axes.y_range.unwrap_or((0.0, room))
}

fn are_named(groups: &[Bars]) -> bool {
    groups.iter().any(|group| !group.name.is_empty())
}

/// Text for HTML and SVG.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
