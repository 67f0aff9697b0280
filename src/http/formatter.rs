//! The dialects of the APIs: what stands around an answer and how a refusal is said.
//!
//! `json` speaks through the HTTP status and gives a refusal as plain text; `extjs` always answers
//! 200 and puts the status inside, which is the one that Proxmox Datacenter Manager reads. Both
//! label everything JSON, refusals in plain text included: clients check the label first. The native
//! API gives its data by itself, and a refusal as an object with an HTTP status.

use std::borrow::Cow;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::query::{ParameterError, ParameterErrors};

/// A dialect: the second segment of a path under `/api2/`, that of all paths under `/api/v1/`, or that
/// of all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formatter {
    /// `{"data":...}`; a refusal is text with an HTTP status.
    Json,
    /// `{"data":...,"status":200,"success":true}`; a refusal is an object with HTTP status 200.
    Extjs,
    /// The data by itself; a refusal is `{"error":...}` with an HTTP status.
    Native,
    /// The data by itself; a refusal is text with an HTTP status.
    Plain,
}

impl Formatter {
    /// The formatter of that name under `/api2/`.
    #[must_use]
    pub fn named(name: &str) -> Option<Formatter> {
        match name {
            "json" => Some(Formatter::Json),
            "extjs" => Some(Formatter::Extjs),
            _ => None,
        }
    }

    /// What stands before the data of an answer.
    #[must_use]
    pub fn opening(self) -> &'static str {
        match self {
            Formatter::Json | Formatter::Extjs => "{\"data\":",
            Formatter::Native | Formatter::Plain => "",
        }
    }

    /// What stands after the data of an answer.
    #[must_use]
    pub fn closing(self) -> &'static str {
        match self {
            Formatter::Json => "}",
            Formatter::Native | Formatter::Plain => "",
            Formatter::Extjs => ",\"status\":200,\"success\":true}",
        }
    }

    /// What stands before the points of a pull: its data is an object that holds them as `data`.
    pub(crate) fn points_opening(self) -> &'static str {
        match self {
            Formatter::Json | Formatter::Extjs => "{\"data\":{\"data\":[",
            Formatter::Native | Formatter::Plain => "[",
        }
    }

    /// What stands after the points of a pull.
    pub(crate) fn points_closing(self) -> &'static str {
        match self {
            Formatter::Json => "]}}",
            Formatter::Native | Formatter::Plain => "]",
            Formatter::Extjs => "]},\"status\":200,\"success\":true}",
        }
    }

    /// The status of a refusal that is no fault of the client's: a ring that is not there.
    pub(crate) fn unavailable(self) -> StatusCode {
        match self {
            // What the servers that clients of this API know would say.
            Formatter::Json | Formatter::Extjs => StatusCode::BAD_REQUEST,
            Formatter::Native | Formatter::Plain => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Writes a refusal and says which HTTP status goes with it.
    pub(crate) fn refuse(self, refusal: &Refusal, out: &mut Vec<u8>) -> StatusCode {
        match self {
            Formatter::Json | Formatter::Plain => {
                out.extend_from_slice(refusal.message.as_bytes());
                if let Some(errors) = &refusal.errors {
                    out.extend_from_slice(b"\n");
                    for (name, error) in errors.iter() {
                        out.extend_from_slice(format!("\n{name}: {error}").as_bytes());
                    }
                }
                refusal.status
            }
            Formatter::Native => {
                let mut object = Map::new();
                object.insert("error".to_owned(), json!(refusal.message));
                if let Some(errors) = &refusal.errors {
                    object.insert("parameters".to_owned(), by_name(errors));
                }
                out.extend_from_slice(Value::from(object).to_string().as_bytes());
                out.push(b'\n');
                refusal.status
            }
            Formatter::Extjs => {
                let mut object = Map::new();
                if let Some(errors) = &refusal.errors {
                    object.insert("errors".to_owned(), by_name(errors));
                }
                object.insert("message".to_owned(), json!(refusal.message));
                object.insert("status".to_owned(), json!(refusal.status.as_u16()));
                object.insert("success".to_owned(), json!(false));
                out.extend_from_slice(Value::from(object).to_string().as_bytes());
                // A method that is not allowed is told in HTTP itself: the answer carries `Allow`,
                // which means nothing beside a 200.
                if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
                    refusal.status
                } else {
                    StatusCode::OK
                }
            }
        }
    }
}

fn by_name(errors: &ParameterErrors) -> Value {
    let error =
        |(name, error): (&str, &ParameterError)| (name.to_owned(), error.to_string().into());
    Value::from(errors.iter().map(error).collect::<Map<String, Value>>())
}

/// A request that is not answered with data, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: Cow<'static, str>,
    pub(crate) errors: Option<ParameterErrors>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, message: message.into(), errors: None }
    }

    pub(crate) fn parameters(errors: ParameterErrors) -> Refusal {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            message: Cow::Borrowed("parameter verification errors"),
            errors: Some(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::query;

    #[test]
    fn extjs_gives_errors_by_name_with_sorted_keys() {
        let errors = query::parse::<query::PullParameters>("x=1&history=2").unwrap_err();
        let mut out = Vec::new();
        let status = Formatter::Extjs.refuse(&Refusal::parameters(errors), &mut out);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"errors\":{\"history\":\"Unable to parse boolean option.\",\
             \"x\":\"schema does not allow additional properties.\"},\
             \"message\":\"parameter verification errors\",\"status\":400,\"success\":false}"
        );
    }

    #[test]
    fn native_gives_an_object_and_the_status() {
        let errors = query::parse::<query::ListParameters>("x=1").unwrap_err();
        let mut out = Vec::new();
        let status = Formatter::Native.refuse(&Refusal::parameters(errors), &mut out);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"error\":\"parameter verification errors\",\
             \"parameters\":{\"x\":\"schema does not allow additional properties.\"}}\n"
        );
    }

    #[test]
    fn json_gives_text_and_the_status() {
        let errors = query::parse::<query::PullParameters>("x=1").unwrap_err();
        let mut out = Vec::new();
        let status = Formatter::Json.refuse(&Refusal::parameters(errors), &mut out);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "parameter verification errors\n\nx: schema does not allow additional properties."
        );
    }
}
