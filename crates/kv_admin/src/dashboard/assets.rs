//! The files of the page, which are part of the program.

use axum::{Router, http::header::CONTENT_TYPE, routing::get};

macro_rules! assets {
    ($($name:literal)*) => { [$(($name, include_bytes!(concat!("assets/", $name)).as_slice())),*] };
}

/// Every file, by its path.
pub(super) const ASSETS: &[(&str, &[u8])] = &assets![
    "index.html"
    "icon.svg"
    "style.css"
    "theme.js"
    "app.js"
    "buckets.js"
    "format.js"
    "happenings.js"
    "html.js"
    "icons.js"
    "nodes.js"
    "plots.js"
    "routing.js"
    "stream.js"
    "table.js"
    "tree.js"
    "vendor/htm.mjs"
    "vendor/preact.mjs"
    "vendor/uplot.js"
];

/// A path for each file; that of the page is `/` too.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new();
    for (name, content) in ASSETS {
        let content_type = content_type(name);
        let file = get(async move || ([(CONTENT_TYPE, content_type)], *content));
        if *name == "index.html" {
            router = router.route("/", file.clone());
        }
        router = router.route(&format!("/{name}"), file);
    }
    router
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// What a first visit may load, uncompressed.
    const VISIT_BYTES: usize = 130_000;
    const MODULE_LINES: usize = 300;

    #[test]
    fn a_first_visit_is_small_and_the_modules_are_short() {
        let total: usize = ASSETS.iter().map(|(_, content)| content.len()).sum();
        assert!(total < VISIT_BYTES, "{total} bytes");
        for (name, content) in ASSETS.iter().filter(|(name, _)| !name.starts_with("vendor/")) {
            let lines = content.iter().filter(|byte| **byte == b'\n').count();
            assert!(lines < MODULE_LINES, "{name} has {lines} lines");
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/assets");
        for (inner, prefix) in [(folder.clone(), ""), (folder.join("vendor"), "vendor/")] {
            for file in fs::read_dir(inner).expect("the folder is there").flatten() {
                let name = format!("{prefix}{}", file.file_name().to_string_lossy());
                let is_source =
                    [".html", ".svg", ".css", ".js", ".mjs"].iter().any(|end| name.ends_with(end));
                assert!(!is_source || ASSETS.iter().any(|(asset, _)| *asset == name), "{name} is not served");
            }
        }
    }
}
