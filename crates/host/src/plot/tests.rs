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
