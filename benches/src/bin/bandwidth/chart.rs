use std::fmt::Write;

/// One bar, and the one of the first description beside it.
pub(crate) struct Bar {
    pub(crate) name: String,
    /// Gigabytes a day.
    pub(crate) ours: f64,
    pub(crate) theirs: Option<f64>,
}

/// A bar chart as SVG, which reads well on a light and on a dark page.
pub(crate) fn draw(bars: &[Bar]) -> String {
    let most = bars
        .iter()
        .map(|bar| bar.ours.max(bar.theirs.unwrap_or(0.0)));
    let scale = WIDTH / most.fold(1.0, f64::max);
    let height = TOP + bars.len() as f64 * STEP + 12.0;
    let total = LEFT + WIDTH + RIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Gigabytes a day for one reader of everything</title>\n\
         <rect width=\"{total}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"16\" fill=\"#1f2328\">Gigabytes a day for one reader of \
         85 million events</text>\n"
    );
    legend(&mut svg, 16.0, OURS, "jetwash, recorded events");
    legend(&mut svg, 230.0, THEIRS, "Jetstream's first description");
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + index as f64 * STEP;
        let name = escape(&bar.name);
        let middle = y + 19.0;
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\" fill=\"#1f2328\">{name}</text>",
            LEFT - 10.0
        );
        rectangle(&mut svg, y + 3.0, bar.ours, scale, OURS);
        if let Some(theirs) = bar.theirs {
            rectangle(&mut svg, y + 17.0, theirs, scale, THEIRS);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, x: f64, colour: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"38\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
         <text x=\"{}\" y=\"49\" fill=\"#59636e\">{text}</text>",
        x + 18.0
    );
}

fn rectangle(svg: &mut String, y: f64, value: f64, scale: f64, colour: &str) {
    let width = value * scale;
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"11\" fill=\"{colour}\"/>\
         <text x=\"{:.1}\" y=\"{}\" font-size=\"11\" fill=\"#59636e\">{value:.1}</text>",
        LEFT + width + 5.0,
        y + 9.5
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const LEFT: f64 = 260.0;
const WIDTH: f64 = 520.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 64.0;
const STEP: f64 = 36.0;
const OURS: &str = "#1a7f64";
const THEIRS: &str = "#b0b8c1";
