//! What the two services have in common: what an event is, and the answers to a request. How an event becomes durable,
//! which is what they are compared for, is in each one's own file.
use std::{env, fmt, fs::File, path::PathBuf};

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, Visitor},
};

/// Nothing is allocated for an event: what is written are the bytes that were received.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "id")]
    _id: Option<Id>,
    #[serde(rename = "data")]
    _data: IgnoredAny,
}

/// A string or an integer. An untagged enum would buffer the value to try one after the other.
struct Id;

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Id)
    }
}

impl Visitor<'_> for Id {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a string or an integer as id")
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
}

/// Why a request was refused: 400 when it is not JSON, 422 when it is not an event.
pub struct Refusal(StatusCode, String);

impl Refusal {
    pub fn malformed(reason: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.to_string())
    }
    pub fn invalid(reason: impl ToString) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, reason.to_string())
    }
    pub fn unavailable() -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, "the log cannot be written".into())
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() { Self::invalid(error) } else { Self::malformed(error) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.1 }).to_string();
        (self.0, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

pub fn accepted(count: usize) -> Response {
    let body = format!("{{\"accepted\":{count}}}");
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Whether the text is one event.
pub fn check(text: &str) -> Result<(), Refusal> {
    // Serde would take an array as the fields of a struct, in their order.
    if !text.trim_ascii_start().starts_with('{') {
        serde_json::from_str::<IgnoredAny>(text)?;
        return Err(Refusal::invalid("an event must be a JSON object"));
    }
    serde_json::from_str::<Event>(text)?;
    Ok(())
}

/// `PORT` of 127.0.0.1, and `events.ndjson` in `DATA_DIR`, for appending.
pub fn open() -> (std::net::SocketAddr, File) {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).expect("PORT: a number");
    let path = PathBuf::from(env::var_os("DATA_DIR").expect("DATA_DIR: a directory")).join("events.ndjson");
    let file = File::options().create(true).append(true).open(&path).expect("events.ndjson in DATA_DIR");
    (([127, 0, 0, 1], port).into(), file)
}
