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

use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (520, 340);
const INK: RGBColor = RGBColor(1, 2, 3);
const FAINT: RGBColor = RGBColor(3, 2, 1);
const COLOURS: [RGBColor; 8] = [
    RGBColor(46, 134, 193),
    RGBColor(214, 106, 42),
    RGBColor(60, 160, 90),
    RGBColor(170, 90, 190),
    RGBColor(200, 70, 90),
    RGBColor(150, 130, 60),
    RGBColor(80, 160, 170),
    RGBColor(130, 130, 140),
];

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
        chart
            .configure_mesh()
            .x_desc(axes.x_label)
            .y_desc(axes.y_label)
            .axis_style(INK)
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .label_style(text(12))
            .draw()?;
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
    let highest = groups
        .iter()
        .flat_map(|group| &group.values)
        .copied()
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    if categories.is_empty() || groups.is_empty() {
        return Err(empty(axes));
    }
    let y_range = axes
        .y_range
        .unwrap_or((0.0, if highest > 0.0 { highest * 1.05 } else { 1.0 }));
    let names: Vec<String> = categories.iter().map(|&name| name.to_owned()).collect();
    draw(axes, |area| {
        let mut chart = cartesian(axes, &area, (-0.5, categories.len() as f64 - 0.5), y_range)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(2 * categories.len() + 1)
            .x_label_formatter(&|x| category_at(&names, *x))
            .x_desc(axes.x_label)
            .y_desc(axes.y_label)
            .axis_style(INK)
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .label_style(text(12))
            .draw()?;
        let width = 0.8 / groups.len() as f64;
        for (index, group) in groups.iter().enumerate() {
            let left = |place: usize| place as f64 - 0.4 + index as f64 * width;
            let boxes = group
                .values
                .iter()
                .enumerate()
                .map(|(place, &value)| (left(place), left(place) + width, value));
            draw_boxes(&mut chart, boxes.collect(), group.name, colour(index))?;
        }
        legend(
            &mut chart,
            groups.iter().any(|group| !group.name.is_empty()),
        )
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
    let highest = groups
        .iter()
        .flat_map(|group| &group.values)
        .copied()
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    let y_range = axes
        .y_range
        .unwrap_or((0.0, if highest > 0.0 { highest * 1.05 } else { 1.0 }));
    draw(axes, |area| {
        let mut chart = cartesian(axes, &area, x_range, y_range)?;
        chart
            .configure_mesh()
            .x_desc(axes.x_label)
            .y_desc(axes.y_label)
            .axis_style(INK)
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .label_style(text(12))
            .draw()?;
        for (index, group) in groups.iter().enumerate() {
            let bins = edges
                .windows(2)
                .zip(&group.values)
                .map(|(edge, &value)| (edge[0], edge[1], value));
            draw_boxes(&mut chart, bins.collect(), group.name, colour(index))?;
        }
        legend(
            &mut chart,
            groups.iter().any(|group| !group.name.is_empty()),
        )
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
    let from_top = |y: f64| category_at(&labels, (classes as f64 - 1.0) - y);
    draw(axes, |area| {
        let range = (-0.5, classes as f64 - 0.5);
        let mut chart = cartesian(axes, &area, range, range)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .x_labels(2 * classes + 1)
            .y_labels(2 * classes + 1)
            .x_label_formatter(&|x| category_at(&labels, *x))
            .y_label_formatter(&|y| from_top(*y))
            .x_desc(axes.x_label)
            .y_desc(axes.y_label)
            .axis_style(INK)
            .label_style(text(12))
            .draw()?;
        for (row, line) in counts.iter().enumerate() {
            let total = line.iter().sum::<u64>().max(1) as f64;
            for (column, &count) in line.iter().enumerate() {
                let (x, y) = (column as f64, (classes - 1 - row) as f64);
                let shade =
                    COLOURS[usize::from(row != column)].mix(0.08 + 0.72 * count as f64 / total);
                chart.draw_series([Rectangle::new(
                    [(x - 0.48, y - 0.48), (x + 0.48, y + 0.48)],
                    shade.filled(),
                )])?;
                let style = text(14).pos(plotters::style::text_anchor::Pos::new(
                    plotters::style::text_anchor::HPos::Center,
                    plotters::style::text_anchor::VPos::Center,
                ));
                chart.draw_series([Text::new(count.to_string(), (x, y), style)])?;
            }
        }
        Ok(())
    })
}

type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
type Chart<'a, 's> = ChartContext<
    'a,
    SVGBackend<'s>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(axes: &Axes, paint: impl FnOnce(Area) -> Drawn) -> Result<String, PlotError> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let failed = |reason: Box<dyn std::error::Error>| PlotError::Draw {
        title: axes.title.to_owned(),
        reason: reason.to_string(),
    };
    paint(area.clone()).map_err(failed)?;
    area.present().map_err(|error| failed(Box::new(error)))?;
    drop(area);
    Ok(themed(&svg, axes.title))
}

/// Gives the page's colours to what was drawn in the two stand-in colours, and a name to the picture.
fn themed(svg: &str, title: &str) -> String {
    let opening = format!(
        "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {} {}\" ",
        escaped(title),
        SIZE.0,
        SIZE.1
    );
    svg.replacen("<svg ", &opening, 1)
        .replace("\"#010203\"", "\"currentColor\"")
        .replace("\"#030201\"", "\"currentColor\" stroke-opacity=\"0.15\"")
}

/// Text for HTML and SVG.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn cartesian<'a, 's>(
    axes: &Axes,
    area: &'a Area<'s>,
    x: (f64, f64),
    y: (f64, f64),
) -> Result<Chart<'a, 's>, Box<dyn std::error::Error>> {
    let mut builder = ChartBuilder::on(area);
    builder
        .margin(8)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .caption(axes.title, text(15));
    Ok(builder.build_cartesian_2d(x.0..x.1, y.0..y.1)?)
}

fn draw_series(chart: &mut Chart, series: &Series, colour: RGBColor) -> Drawn {
    let points: Vec<(f64, f64)> = series.points.iter().copied().filter(is_finite).collect();
    let style = match series.mark {
        Mark::Reference => FAINT.stroke_width(2),
        _ => colour.stroke_width(2),
    };
    if series.mark != Mark::Dots {
        let drawn = chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        if !series.name.is_empty() {
            drawn
                .label(series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
    }
    if matches!(series.mark, Mark::Dots | Mark::LineAndDots) {
        chart.draw_series(
            points
                .iter()
                .map(|&point| Circle::new(point, 3, colour.filled())),
        )?;
    }
    Ok(())
}

fn draw_boxes(
    chart: &mut Chart,
    boxes: Vec<(f64, f64, f64)>,
    name: &str,
    colour: RGBColor,
) -> Drawn {
    let fill = colour.mix(0.6).filled();
    let shapes = boxes.into_iter().filter(|(_, _, top)| top.is_finite());
    let drawn = chart.draw_series(
        shapes.map(|(left, right, top)| Rectangle::new([(left, 0.0), (right, top)], fill)),
    )?;
    if !name.is_empty() {
        drawn
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], fill));
    }
    Ok(())
}

fn legend<'a, 's: 'a>(chart: &mut Chart<'a, 's>, wanted: bool) -> Drawn {
    if wanted {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font(text(12))
            .draw()?;
    }
    Ok(())
}

fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_text_style(&SIZE).color(&INK)
}

fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

fn category_at(names: &[String], place: f64) -> String {
    let nearest = place.round();
    let close = (place - nearest).abs() < 1e-6 && nearest >= 0.0;
    close
        .then(|| names.get(nearest as usize).cloned())
        .flatten()
        .unwrap_or_default()
}

fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// The range of values with a little room; `None` without values.
fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let room = if high > low { 0.03 * (high - low) } else { 0.5 };
    (low <= high).then_some((low - room, high + room))
}

fn empty(axes: &Axes) -> PlotError {
    PlotError::Empty {
        title: axes.title.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes() -> Axes<'static> {
        Axes {
            title: "a < b",
            x_label: "x",
            y_label: "y",
            ..Axes::default()
        }
    }

    #[test]
    fn a_line_plot_is_one_svg_in_the_pages_colours() {
        let series = [Series {
            name: "loss",
            points: vec![(0.0, 2.0), (1.0, f64::NAN), (2.0, 1.0)],
            mark: Mark::LineAndDots,
        }];
        let svg = lines(&axes(), &series).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
            "{svg}"
        );
        assert!(svg.contains("currentColor") && !svg.contains("#010203") && !svg.contains("NaN"));
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg, lines(&axes(), &series).unwrap());
    }

    #[test]
    fn bars_histograms_and_matrices_draw_one_box_per_value() {
        let group = |values: &[f64]| Bars {
            name: "train",
            values: values.to_vec(),
        };
        let bar = bars(
            &axes(),
            &["empty", "occupied"],
            &[group(&[1.0, 2.0]), group(&[3.0, 4.0])],
        )
        .unwrap();
        assert!(bar.contains("occupied") && bar.matches("<rect").count() >= 4);
        let shape = histogram(&axes(), &[0.0, 1.0, 3.0], &[group(&[0.2, 0.8])]).unwrap();
        assert!(shape.matches("<rect").count() >= 2);
        let table = matrix(&axes(), &["no", "yes"], &[vec![41, 1], vec![0, 7]]).unwrap();
        assert!(
            table.contains("41") && table.matches("<rect").count() >= 4,
            "{table}"
        );
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        assert!(matches!(lines(&axes(), &[]), Err(PlotError::Empty { .. })));
        assert!(matches!(
            bars(&axes(), &[], &[]),
            Err(PlotError::Empty { .. })
        ));
        assert!(matches!(
            histogram(
                &axes(),
                &[0.0],
                &[Bars {
                    name: "",
                    values: vec![1.0]
                }]
            ),
            Err(PlotError::Empty { .. })
        ));
        assert!(matches!(
            matrix(&axes(), &["a"], &[]),
            Err(PlotError::Empty { .. })
        ));
    }
}
