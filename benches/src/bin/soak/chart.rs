use std::fmt::Write;

/// One quantity over time.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    /// Seconds and value.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A picture as SVG with one panel for each curve, all over the same time; ends of the server are
/// lines through all panels.
pub(crate) fn draw(title: &str, curves: &[Curve], marks: &[(f64, &str)]) -> String {
    let times = curves
        .iter()
        .flat_map(|curve| &curve.points)
        .map(|&(time, _)| time);
    let last = times.fold(1.0, f64::max);
    let scale = WIDTH / last;
    let bottom = TOP + curves.len() as f64 * STEP;
    let (total, height) = (LEFT + WIDTH + RIGHT, bottom + 34.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>{title}</title>\n\
         <rect width=\"{total}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\" fill=\"{INK}\">{title}</text>\n"
    );
    legend(&mut svg, LEFT, KILL, "killed");
    legend(&mut svg, LEFT + 70.0, STOP, "stopped in order");
    for &(time, what) in marks {
        let colour = if what == "kill" { KILL } else { STOP };
        let x = LEFT + time * scale;
        line(&mut svg, (x, TOP), (x, bottom - GAP), colour, 1.0);
    }
    for (index, curve) in curves.iter().enumerate() {
        panel(&mut svg, curve, TOP + index as f64 * STEP, scale);
    }
    let steps = [
        1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600, 7200, 14_400,
    ];
    let step = steps
        .into_iter()
        .find(|&step| last / f64::from(step) <= 8.0);
    let step = step.unwrap_or(28_800);
    for time in (0..=last as usize).step_by(step as usize) {
        let x = LEFT + time as f64 * scale;
        let label = match step {
            ..60 => format!("{time} s"),
            _ => format!("{} min", time / 60),
        };
        text(&mut svg, (x, bottom + 4.0), "middle", INK, &label);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A curve under its name, over its own axis from 0 on.
fn panel(svg: &mut String, curve: &Curve, top: f64, scale: f64) {
    let values = curve.points.iter().map(|&(_, value)| value);
    let most = round_up(values.fold(0.0, f64::max));
    let (head, foot) = (top + HEAD, top + STEP - GAP);
    let height = foot - head;
    text(svg, (LEFT, top + 12.0), "start", INK, curve.name);
    for part in [0.0, 0.5, 1.0] {
        let y = foot - height * part;
        line(svg, (LEFT, y), (LEFT + WIDTH, y), GRID, 1.0);
        let value = most * part;
        let label = if most < 10.0 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        };
        text(svg, (LEFT - 8.0, y + 4.0), "end", QUIET, &label);
    }
    let mut path = String::new();
    for (time, value) in &curve.points {
        let (x, y) = (LEFT + time * scale, foot - height * value / most);
        // Writing to a string does not fail.
        let _ = write!(path, "{x:.1},{y:.1} ");
    }
    let _ = writeln!(
        svg,
        "<polyline points=\"{path}\" fill=\"none\" stroke=\"{CURVE}\" stroke-width=\"1.8\"/>"
    );
}

/// The next number up that an axis can end at.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(0.1).log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

fn legend(svg: &mut String, x: f64, colour: &str, name: &str) {
    line(svg, (x, 42.0), (x + 14.0, 42.0), colour, 3.0);
    text(svg, (x + 20.0, 46.0), "start", QUIET, name);
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, colour: &str, content: &str) {
    let (x, y) = at;
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{content}</text>"
    );
}

const LEFT: f64 = 64.0;
const WIDTH: f64 = 800.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 60.0;
const STEP: f64 = 122.0;
/// The room for a panel's name, and below it.
const HEAD: f64 = 22.0;
const GAP: f64 = 18.0;
const INK: &str = "#1f2328";
const QUIET: &str = "#59636e";
const GRID: &str = "#e4e8ec";
const CURVE: &str = "#1a7f64";
const KILL: &str = "#d9827b";
const STOP: &str = "#9db4d6";
