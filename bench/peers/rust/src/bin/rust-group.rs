//! The limit: what Rust does with the design of Millrace. All requests that wait are written and synced together, and
//! answered when that has returned; meanwhile the next group gathers in the channel.
use std::{fs::File, io::Write, str, sync::Arc, thread};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, header},
    response::Response,
    routing::post,
    serve::ListenerExt,
};
use peers::{Refusal, accepted, check, open};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::{mpsc, oneshot},
    task,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CAPACITY: usize = 65_536;
const GROUP_REQUESTS: usize = 4096;
const BODY_LIMIT_BYTES: usize = 16 << 20;

struct Request {
    /// One event a line.
    lines: Bytes,
    durable: oneshot::Sender<()>,
}

async fn receive(
    State(sender): State<mpsc::Sender<Request>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let text = str::from_utf8(&body).map_err(Refusal::malformed)?;
    let ndjson = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"application/x-ndjson");
    let mut count = 0;
    let mut lines = body.clone();
    if ndjson {
        for line in text.lines().filter(|line| !line.is_empty()) {
            check(line)?;
            count += 1;
        }
        if count == 0 {
            return Err(Refusal::invalid("no events"));
        }
    } else {
        check(text)?;
        count = 1;
        // A line break in JSON is white space: within strings it is escaped.
        if memchr::memchr2(b'\n', b'\r', &body).is_some() {
            lines = body.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect();
        }
    }
    let (durable, written) = oneshot::channel();
    sender.send(Request { lines, durable }).await.map_err(|_| Refusal::unavailable())?;
    written.await.map_err(|_| Refusal::unavailable())?;
    Ok(accepted(count))
}

async fn commit(mut receiver: mpsc::Receiver<Request>, file: File) {
    let file = Arc::new(file);
    let mut group = Vec::with_capacity(GROUP_REQUESTS);
    let mut buffer = Vec::new();
    while receiver.recv_many(&mut group, GROUP_REQUESTS).await > 0 {
        for Request { lines, .. } in &group {
            buffer.extend_from_slice(lines);
            if !lines.ends_with(b"\n") {
                buffer.push(b'\n');
            }
        }
        // What a failed sync has lost is unknown: nothing is acknowledged any more.
        buffer = task::spawn_blocking({
            let file = file.clone();
            move || {
                (&*file).write_all(&buffer).and_then(|()| file.sync_data()).expect("events.ndjson cannot be written");
                buffer.clear();
                buffer
            }
        })
        .await
        .expect("the thread that writes");
        for Request { durable, .. } in group.drain(..) {
            let _ = durable.send(()); // fails when the client has left
        }
    }
}

async fn serve() {
    let (address, file) = open();
    let (sender, receiver) = mpsc::channel(CAPACITY);
    tokio::spawn(commit(receiver, file));
    let app = Router::new()
        .route("/v1/events", post(receive))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(sender);
    let listener = TcpListener::bind(address).await.expect("PORT: one that is free");
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await.expect("serving");
}

/// Measured on two cores, which the client and the writing share, with 256 connections: one thread for all requests is a
/// third faster than two. A thread of its own that writes was a third slower than `spawn_blocking` then.
fn main() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut builder = if cores > 2 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build().expect("a runtime").block_on(serve());
}
