//! Inline SVG. Ink takes the text colour of the page, so that a chart can be read on light and dark.

use std::error::Error;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf32;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::html::escape;
use super::text;

/// Drawn in place of the page's text colour, and replaced by it.
const INK: RGBColor = RGBColor(1, 2, 3);
const INK_HEXADECIMAL: &str = "#010203";
const QUIET: RGBColor = RGBColor(46, 134, 171);
const DRIFTED: RGBColor = RGBColor(217, 72, 15);
const LIMIT: RGBColor = RGBColor(160, 100, 200);
const FONT: &str = "sans-serif";
const FONT_SIZE: i32 = 12;

/// Colours of the labels in a mix, told apart also by those who see few colours.
const LABELS: [RGBColor; 8] = [
    RGBColor(46, 134, 171),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(127, 127, 127),
    RGBColor(188, 189, 34),
];

/// One window of a channel, as far as a chart shows it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// The score, when the window was judged.
    pub score: Option<f32>,
    /// Whether it drifted.
    pub drifted: bool,
}

/// One channel over the windows.
#[derive(Debug, Clone)]
pub(super) struct Row<'a> {
    pub name: &'a str,
    pub marks: Vec<Mark>,
    pub threshold: Option<f32>,
}

/// Scores of one channel over the windows; `ends` name the first and the last window, `statistic`
/// what a score is.
pub(super) struct Timeline<'a> {
    pub row: &'a Row<'a>,
    pub statistic: &'a str,
    pub ends: (&'a str, &'a str),
}

/// A strip for every channel, a cell for every window.
pub(super) struct Heat<'a> {
    pub rows: &'a [Row<'a>],
    pub ends: (&'a str, &'a str),
}

/// Shares of the labels over the windows.
pub(super) struct Mix<'a> {
    pub labels: &'a [String],
    pub windows: Vec<&'a [u32]>,
    pub ends: (&'a str, &'a str),
}

/// Pixels from which to which the windows of a strip go.
const STRIP: (i32, i32) = (136, 932);
/// Text to the left of a strip.
const RIGHT: Pos = Pos {
    h_pos: HPos::Right,
    v_pos: VPos::Center,
};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// Pixels of a timeline.
const TIMELINE: (u32, u32) = (460, 196);
/// Pixels from which to which its axis of windows goes.
const TIMELINE_AXIS: (i32, i32) = (64, 448);

type Axes<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf32, RangedCoordf32>>;

/// Scores as points joined by a line, with the threshold across them and in the title.
pub(super) fn timeline(chart: &Timeline<'_>) -> String {
    let row = chart.row;
    draw(
        TIMELINE,
        &format!("Scores of {} over the windows", row.name),
        |area| {
            let mut axes = axes(area, chart)?;
            threshold(&mut axes, row)?;
            points(&mut axes, row)?;
            ends(area, chart.ends, TIMELINE_AXIS, TIMELINE.1 as i32 - 8)
        },
    )
}

fn axes<'a, 'b>(area: &Area<'b>, chart: &Timeline<'_>) -> Result<Axes<'a, 'b>, Box<dyn Error>> {
    let row = chart.row;
    let title = match row.threshold {
        Some(threshold) => format!("{} (threshold {})", row.name, text::score(threshold)),
        None => format!("{} (no threshold)", row.name),
    };
    let mut axes = ChartBuilder::on(area)
        .caption(title, (FONT, 14, &INK))
        .margin(6)
        .margin_right(12)
        .x_label_area_size(22)
        .y_label_area_size(58)
        .build_cartesian_2d(-0.5..last_of(row) + 0.5, 0.0..top_of(row))?;
    axes.configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_labels(4)
        .y_desc(chart.statistic)
        .axis_desc_style((FONT, FONT_SIZE, &INK))
        .bold_line_style(INK.mix(0.12))
        .light_line_style(INK.mix(0.0))
        .axis_style(INK.mix(0.5))
        .label_style((FONT, FONT_SIZE - 1, &INK))
        .draw()?;
    Ok(axes)
}

fn threshold(axes: &mut Axes<'_, '_>, row: &Row<'_>) -> Drawn {
    let ends = row
        .threshold
        .map(|threshold| [(-0.5, threshold), (last_of(row) + 0.5, threshold)]);
    let line = ends.into_iter().flatten();
    axes.draw_series(DashedLineSeries::new(line, 6, 4, LIMIT.stroke_width(2)))?;
    Ok(())
}

/// The line is broken where a window was not judged.
fn points(axes: &mut Axes<'_, '_>, row: &Row<'_>) -> Drawn {
    let top = top_of(row);
    let points: Vec<Option<((f32, f32), bool)>> = (0..)
        .zip(&row.marks)
        .map(|(index, mark)| Some(((index as f32, mark.score?.min(top)), mark.drifted)))
        .collect();
    for run in points.split(Option::is_none) {
        let line = run.iter().flatten().map(|(point, _)| *point);
        axes.draw_series(LineSeries::new(line, QUIET.stroke_width(1)))?;
    }
    axes.draw_series(points.into_iter().flatten().map(|(point, drifted)| {
        let (size, colour) = if drifted { (4, DRIFTED) } else { (3, QUIET) };
        Circle::new(point, size, colour.filled())
    }))?;
    Ok(())
}

fn last_of(row: &Row<'_>) -> f32 {
    row.marks.len().saturating_sub(1).max(1) as f32
}

/// A little above everything finite that is to be seen.
fn top_of(row: &Row<'_>) -> f32 {
    let scores = row
        .marks
        .iter()
        .filter_map(|mark| mark.score)
        .chain(row.threshold);
    let highest = scores.filter(|score| score.is_finite()).fold(0.0, f32::max);
    if highest > 0.0 { highest * 1.15 } else { 1.0 }
}

/// Cells from pale (score 0) to full (at the threshold), another colour where a channel drifted, and
/// an outline where nothing was judged.
pub(super) fn heat(chart: &Heat<'_>) -> String {
    const ROW: i32 = 22;
    let height = ROW * chart.rows.len() as i32 + 24;
    draw(
        (940, height as u32),
        "Scores of every channel in every window",
        |area| {
            for (index, row) in chart.rows.iter().enumerate() {
                let top = ROW * index as i32;
                write(area, row.name, (128, top + ROW / 2), RIGHT)?;
                for (column, mark) in row.marks.iter().enumerate() {
                    let (left, right) = column_of(column, row.marks.len(), STRIP);
                    let cell = [(left, top + 2), (right, top + ROW - 2)];
                    area.draw(&Rectangle::new(cell, shade(mark, row.threshold)))?;
                }
            }
            ends(area, chart.ends, STRIP, height - 6)
        },
    )
}

fn shade(mark: &Mark, threshold: Option<f32>) -> ShapeStyle {
    match (mark.score, mark.drifted) {
        (_, true) => DRIFTED.filled(),
        (None, false) => INK.mix(0.25).stroke_width(1),
        (Some(score), false) => {
            let share = threshold
                .map_or(0.0, |threshold| f64::from(score / threshold))
                .clamp(0.0, 1.0);
            QUIET.mix(0.22 + 0.78 * share).filled()
        }
    }
}

/// Bars of equal height, split by the labels' shares; empty where there was no answer.
pub(super) fn mix(chart: &Mix<'_>) -> String {
    const TOP: i32 = 26;
    const BOTTOM: i32 = 126;
    draw((940, 150), "Mix of predictions in every window", |area| {
        legend(area, chart.labels)?;
        for (column, counts) in chart.windows.iter().enumerate() {
            let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
            let (left, right) = column_of(column, chart.windows.len(), STRIP);
            let mut below = 0.0;
            for (label, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let height = |share: f64| BOTTOM - (share * f64::from(BOTTOM - TOP)).round() as i32;
                let above = below + f64::from(count) / total;
                area.draw(&Rectangle::new(
                    [(left, height(above)), (right, height(below))],
                    label_colour(label).filled(),
                ))?;
                below = above;
            }
        }
        write(area, "100 %", (128, TOP), RIGHT)?;
        write(area, "0 %", (128, BOTTOM), RIGHT)?;
        ends(area, chart.ends, STRIP, 150 - 6)
    })
}

fn legend(area: &Area<'_>, labels: &[String]) -> Drawn {
    let mut left = 136;
    for (index, label) in labels.iter().enumerate() {
        area.draw(&Rectangle::new(
            [(left, 4), (left + 12, 16)],
            label_colour(index).filled(),
        ))?;
        write(
            area,
            label,
            (left + 17, 10),
            Pos::new(HPos::Left, VPos::Center),
        )?;
        left += 40 + 7 * label.chars().count() as i32;
    }
    Ok(())
}

fn label_colour(label: usize) -> RGBColor {
    LABELS.get(label % LABELS.len()).copied().unwrap_or(QUIET)
}

/// Left and right edge of a column; a pixel stays free between columns that are wide enough.
fn column_of(column: usize, columns: usize, (left, right): (i32, i32)) -> (i32, i32) {
    let edge = |column: usize| left + ((right - left) as usize * column / columns.max(1)) as i32;
    let (from, to) = (edge(column), edge(column + 1));
    (from, if to - from > 3 { to - 1 } else { to })
}

fn ends(area: &Area<'_>, (first, last): (&str, &str), (left, right): (i32, i32), y: i32) -> Drawn {
    write(area, first, (left, y), Pos::new(HPos::Left, VPos::Bottom))?;
    if first == last {
        Ok(())
    } else {
        write(area, last, (right, y), Pos::new(HPos::Right, VPos::Bottom))
    }
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), anchor: Pos) -> Drawn {
    let style = TextStyle::from((FONT, FONT_SIZE)).color(&INK).pos(anchor);
    Ok(area.draw_text(text, &style, at)?)
}

fn draw(size: (u32, u32), title: &str, paint: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        paint(&area).and_then(|()| Ok(area.present()?))
    };
    match drawn {
        Ok(()) => inline(&svg, title),
        Err(error) => format!(
            "<p>This chart cannot be drawn: {}</p>",
            escape(&error.to_string())
        ),
    }
}

/// Without what only a file of its own needs, with the page's ink and a name for those who listen.
fn inline(svg: &str, title: &str) -> String {
    svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1)
        .replacen(
            "<svg ",
            &format!("<svg role=\"img\" aria-label=\"{}\" ", escape(title)),
            1,
        )
        .replace(INK_HEXADECIMAL, "currentColor")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: [Mark; 3] = [
        Mark {
            score: Some(0.5),
            drifted: false,
        },
        Mark {
            score: None,
            drifted: false,
        },
        Mark {
            score: Some(9.0),
            drifted: true,
        },
    ];

    fn row(marks: &[Mark], threshold: Option<f32>) -> Row<'static> {
        Row {
            name: "CO2 <ppm>",
            marks: marks.to_vec(),
            threshold,
        }
    }

    #[test]
    fn a_chart_is_inline_and_uses_the_pages_ink() {
        let (row, ends) = (row(&MARKS, Some(2.0)), ("first", "last"));
        let timeline = timeline(&Timeline {
            row: &row,
            ends,
            statistic: "PSI",
        });
        let heat = heat(&Heat { rows: &[row], ends });
        let mix = mix(&Mix {
            labels: &["empty".to_owned()],
            windows: vec![&[1, 3], &[0, 0]],
            ends,
        });
        for svg in [timeline, heat, mix] {
            assert!(
                svg.starts_with("<svg role=\"img\"") && svg.trim_end().ends_with("</svg>"),
                "{svg}"
            );
            assert!(
                !svg.contains("http")
                    && !svg.contains(INK_HEXADECIMAL)
                    && svg.contains("currentColor")
            );
            assert!(!svg.contains("<ppm>"));
        }
    }

    #[test]
    fn a_chart_without_windows_or_with_infinite_scores_is_drawn() {
        let infinite = [Mark {
            score: Some(f32::INFINITY),
            drifted: true,
        }];
        for marks in [&[][..], &infinite] {
            let svg = timeline(&Timeline {
                row: &row(marks, None),
                ends: ("", ""),
                statistic: "PSI",
            });
            assert!(svg.starts_with("<svg"), "{svg}");
        }
        assert!(
            heat(&Heat {
                rows: &[],
                ends: ("", "")
            })
            .starts_with("<svg")
        );
    }

    #[test]
    fn columns_tile_the_strip() {
        let columns: Vec<_> = (0..7)
            .map(|column| column_of(column, 7, (100, 200)))
            .collect();
        assert_eq!(columns.first().unwrap().0, 100);
        assert!(
            columns
                .windows(2)
                .all(|pair| pair[0].1 <= pair[1].0 && pair[1].0 - pair[0].1 <= 1),
            "{columns:?}"
        );
    }
}
