//! A browser without a window, driven through chromedriver.

use crate::{tool::tool, wait::wait_until};
use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use fantoccini::{
    Client, ClientBuilder,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};
use tokio::runtime::Runtime;
use url::{ParseError, Url};

/// The arguments that let it run in a container.
const ARGUMENTS: [&str; 4] = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];

/// A browser that shows a page.
#[derive(Debug)]
pub struct Browser {
    runtime: Runtime,
    client: Client,
    driver: Child,
}

/// A command of chromedriver that WebDriver does not have.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

impl Browser {
    /// Starts a browser, if one is installed.
    pub fn start() -> Option<Browser> {
        tool("chromium")?;
        let program = tool("chromedriver")?;
        // It was free just now.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let mut driver = Command::new(program);
        driver.arg(format!("--port={}", address.port())).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = driver.spawn().expect("chromedriver starts");
        wait_until("chromedriver listens", || TcpStream::connect(address).is_ok());
        let runtime = Runtime::new().expect("a runtime");
        let mut wanted = Capabilities::new();
        wanted.insert("goog:chromeOptions".to_owned(), json!({ "args": ARGUMENTS }));
        wanted.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let driver_address = format!("http://{address}");
        let connecting = builder.capabilities(wanted).connect(&driver_address);
        let client = runtime.block_on(connecting).expect("chromedriver starts a browser");
        Some(Browser { runtime, client, driver })
    }

    /// Shows a page.
    pub fn open(&self, address: &str) {
        self.runtime.block_on(self.client.goto(address)).expect("the page is there");
    }

    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        self.runtime.block_on(self.client.execute(script, Vec::new())).expect("a script without errors")
    }

    /// The text that the page shows.
    pub fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().expect("a text").to_owned()
    }

    /// Waits until the page shows a text.
    pub fn wait_for_text(&self, text: &str) {
        wait_until(&format!("the page shows {text:?}"), || self.text().contains(text));
    }

    /// Waits until an expression is true on the page.
    pub fn wait_for(&self, expression: &str) {
        wait_until(expression, || self.run(&format!("return Boolean({expression})")) == json!(true));
    }

    /// Shows the page so wide, in light or dark colours.
    pub fn resize(&self, width: u32, scheme: &str) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": false }),
        );
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// The whole page as a picture, in PNG.
    pub fn picture(&self) -> Vec<u8> {
        let picture = self
            .devtools("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64")
    }

    /// The errors in the console since the last call.
    pub fn errors(&self) -> Vec<String> {
        let entries = self.extension("se/log", json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list").iter();
        let errors = entries.filter(|entry| entry["level"] == "SEVERE");
        errors.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The addresses of all that the page has loaded.
    pub fn loaded(&self) -> Vec<String> {
        let names = self.run("return performance.getEntriesByType('resource').map((entry) => entry.name)");
        let names = names.as_array().expect("a list").iter();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.extension("goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    fn extension(&self, path: &'static str, body: Value) -> Value {
        self.runtime.block_on(self.client.issue_cmd(Extension { path, body })).expect("chromedriver has it")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // What fails here has ended already.
        let _ = self.runtime.block_on(self.client.clone().close());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
