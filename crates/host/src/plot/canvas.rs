//! What plots are drawn on, and with.

use super::{Axes, Mark, PlotError, Series, escaped};
use plotters::chart::MeshStyle;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

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

pub(super) type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
pub(super) type Chart<'a, 's> =
    ChartContext<'a, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;

pub(super) fn draw(axes: &Axes, paint: impl FnOnce(Area) -> Drawn) -> Result<String, PlotError> {
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

type Mesh<'a, 'b, 's> = MeshStyle<'a, 'b, RangedCoordf64, RangedCoordf64, SVGBackend<'s>>;

/// The axes' labels and lines in the page's colours.
pub(super) fn inked<'m, 'a, 'b, 's>(
    mesh: &'m mut Mesh<'a, 'b, 's>,
    axes: &Axes,
) -> &'m mut Mesh<'a, 'b, 's> {
    mesh.x_desc(axes.x_label)
        .y_desc(axes.y_label)
        .axis_style(INK)
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .label_style(text(12))
}

/// A grid over both axes.
pub(super) fn plain_mesh(chart: &mut Chart, axes: &Axes) -> Drawn {
    inked(&mut chart.configure_mesh(), axes).draw()?;
    Ok(())
}

/// A row of a matrix, from the top, each count in a box shaded by its share of the row.
pub(super) fn draw_row(chart: &mut Chart, row: usize, counts: &[u64]) -> Drawn {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    for (column, &count) in counts.iter().enumerate() {
        let (x, y) = (column as f64, (counts.len() - 1 - row) as f64);
        let shade = COLOURS[usize::from(row != column)].mix(0.08 + 0.72 * count as f64 / total);
        let corners = [(x - 0.48, y - 0.48), (x + 0.48, y + 0.48)];
        chart.draw_series([Rectangle::new(corners, shade.filled())])?;
        let style = text(14).pos(Pos::new(HPos::Center, VPos::Center));
        chart.draw_series([Text::new(count.to_string(), (x, y), style)])?;
    }
    Ok(())
}

pub(super) fn cartesian<'a, 's>(
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

pub(super) fn draw_series(chart: &mut Chart, series: &Series, colour: RGBColor) -> Drawn {
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

pub(super) fn draw_boxes(
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

pub(super) fn legend<'a, 's: 'a>(chart: &mut Chart<'a, 's>, wanted: bool) -> Drawn {
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

pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

pub(super) fn category_at(names: &[String], place: f64) -> String {
    let nearest = place.round();
    let close = (place - nearest).abs() < 1e-6 && nearest >= 0.0;
    close
        .then(|| names.get(nearest as usize).cloned())
        .flatten()
        .unwrap_or_default()
}

pub(super) fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// The range of values with a little room; `None` without values.
pub(super) fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let room = if high > low { 0.03 * (high - low) } else { 0.5 };
    (low <= high).then_some((low - room, high + room))
}

pub(super) fn empty(axes: &Axes) -> PlotError {
    PlotError::Empty {
        title: axes.title.to_owned(),
    }
}
