//! A drawing under construction: its colours for light and dark, and text that is safe to show.

/// Colours by what a mark stands for; readable on white and on black, also for those who do not
/// tell red from green.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}\
.quiet{fill:#57606a}.grid{stroke:#d0d7de}.spread{stroke:#24292f}.span{fill:#d0d7de;opacity:.5}\
.redis{fill:#d55e00;stroke:#d55e00}.resp{fill:#56b4e9;stroke:#56b4e9}\
.logging{fill:#9ad0f0;stroke:#9ad0f0}\
.native{fill:#0a6fd6;stroke:#0a6fd6}\
.websocket{fill:#009e73;stroke:#009e73}.bare{fill:#8c959f;stroke:#8c959f}\
path{fill:none!important;stroke-width:2}\
@media(prefers-color-scheme: dark){text{fill:#e6edf3}.quiet{fill:#8d96a0}.grid{stroke:#3d444d}\
.spread{stroke:#e6edf3}.span{fill:#3d444d}}";

/// Elements so far.
pub(super) struct Drawing {
    body: String,
    width: f64,
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    /// An empty one with its title at the top.
    pub(super) fn new(title: &str, width: f64) -> Self {
        let mut drawing = Self { body: String::new(), width };
        drawing.text((12.0, 22.0), Anchor::Start, "title", title);
        drawing
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.push(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        ));
    }

    pub(super) fn box_at(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str) {
        let (width, height) = (width.max(0.0), height.max(0.0));
        self.push(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             stroke=\"none\" class=\"{class}\"/>"
        ));
    }

    pub(super) fn stroke(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.push(&format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        ));
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], class: &str) {
        let mut way = String::new();
        for (number, (x, y)) in points.iter().enumerate() {
            way.push_str(&format!("{}{x:.1} {y:.1}", if number == 0 { "M" } else { "L" }));
        }
        self.push(&format!("<path d=\"{way}\" class=\"{class}\"/>"));
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), class: &str) {
        self.push(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" class=\"{class}\"/>"));
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    /// The whole file.
    pub(super) fn finish(self, height: f64) -> String {
        let Self { body, width } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\">\n<style>{STYLE}</style>\n{body}</svg>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_an_element() {
        let mut drawing = Drawing::new("a < b", 100.0);
        drawing.text((0.0, 0.0), Anchor::End, "quiet", "x & y");
        let svg = drawing.finish(50.0);
        assert!(svg.contains("a &lt; b") && svg.contains("x &amp; y"));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
