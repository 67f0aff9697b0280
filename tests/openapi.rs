//! The description of the API and the API say the same: which paths there are and what can be asked.

use std::collections::BTreeSet;

use serde_json::Value;
use tachograph::http::query::{
    HistoryParameters, ListParameters, NoParameters, Parameters, PermissionsParameters,
    PullParameters, ScrapeParameters, StreamParameters, WindowParameters,
};
use tachograph::http::{Formatter, Route};

#[path = "support/http.rs"]
mod http;
use http::{Fake, Running};

fn description() -> Value {
    serde_json::from_str(include_str!("../src/http/openapi.json")).expect("JSON")
}

/// The names of the parameters of an endpoint, and those that may come several times.
type Names = (&'static [&'static str], &'static [&'static str]);

fn names<P: Parameters>() -> Names {
    (P::NAMES, P::REPEATED)
}

/// What can be asked for by a route; `None` for one that only says that nothing is there.
fn parameters(route: Route) -> Option<Names> {
    Some(match route {
        Route::Metrics(_) => names::<PullParameters>(),
        Route::Version(_) | Route::Usage(_) | Route::Rings | Route::OpenApi => {
            names::<NoParameters>()
        }
        Route::Healthz | Route::Readyz => names::<NoParameters>(),
        Route::Permissions(_) => names::<PermissionsParameters>(),
        Route::Series | Route::Latest => names::<ListParameters>(),
        Route::Scrape => names::<ScrapeParameters>(),
        Route::ScrapeHistory => names::<HistoryParameters>(),
        Route::Window => names::<WindowParameters>(),
        Route::Stream => names::<StreamParameters>(),
        Route::UnknownApi(_) | Route::UnknownNative | Route::UnknownFormatter | Route::Unknown => {
            return None;
        }
    })
}

/// Every route that answers.
const ROUTES: [Route; 18] = [
    Route::Metrics(Formatter::Json),
    Route::Metrics(Formatter::Extjs),
    Route::Version(Formatter::Json),
    Route::Version(Formatter::Extjs),
    Route::Usage(Formatter::Json),
    Route::Usage(Formatter::Extjs),
    Route::Permissions(Formatter::Json),
    Route::Permissions(Formatter::Extjs),
    Route::Rings,
    Route::Series,
    Route::Latest,
    Route::Window,
    Route::Stream,
    Route::OpenApi,
    Route::Scrape,
    Route::ScrapeHistory,
    Route::Healthz,
    Route::Readyz,
];

#[test]
fn every_path_is_a_route_and_every_route_has_its_path() {
    let description = description();
    let paths = description["paths"].as_object().expect("paths");
    let mut described: Vec<_> = paths.keys().map(|path| Route::of_path(path)).collect();
    for route in ROUTES {
        let place = described.iter().position(|other| *other == route);
        described.swap_remove(place.unwrap_or_else(|| panic!("{route:?} is not described")));
    }
    assert!(described.is_empty(), "{described:?}");
}

#[test]
fn parameters_are_those_that_are_taken() {
    let description = description();
    for (path, item) in description["paths"].as_object().expect("paths") {
        let (known, repeated) = parameters(Route::of_path(path)).expect("a route that answers");
        let described = item["get"]["parameters"].as_array().cloned().unwrap_or_default();
        // That one is for caches, and everywhere.
        let in_query =
            |parameter: &&Value| parameter["in"] == "query" && parameter["name"] != "_dc";
        let name = |parameter: &Value| parameter["name"].as_str().expect("a name").to_owned();
        let names: Vec<_> = described.iter().filter(in_query).map(name).collect();
        let is_list = |parameter: &&Value| parameter["schema"]["type"] == "array";
        let lists: BTreeSet<_> = described.iter().filter(is_list).map(name).collect();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), set(known), "{path}");
        assert_eq!(lists, set(repeated), "{path}");
    }
}

#[test]
fn references_lead_somewhere() {
    fn check(whole: &Value, value: &Value) -> usize {
        match value {
            Value::Object(object) => {
                let leads = object.get("$ref").map(|to| {
                    let pointer = to.as_str().and_then(|to| to.strip_prefix('#')).expect("inside");
                    assert!(whole.pointer(pointer).is_some(), "{pointer} leads nowhere");
                });
                leads.map_or(0, |()| 1) + object.values().map(|it| check(whole, it)).sum::<usize>()
            }
            Value::Array(list) => list.iter().map(|it| check(whole, it)).sum(),
            _ => 0,
        }
    }
    let description = description();
    assert!(check(&description, &description) > 50);
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn description_is_served() {
    let running = Running::start(Fake::parts(&[]));
    let reply = running.get("/api/v1/openapi.json");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(serde_json::from_slice::<Value>(&reply.body).expect("JSON"), description());
    assert_eq!(running.get("/api/v1/openapi.json?x=1").status, 400);
    running.stop();
}
