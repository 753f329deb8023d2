//! One POST.

use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use super::{AT_MOST, NotifyError, shown};

/// Sends a POST and waits for the answer's status. Redirects are not followed: they would lead elsewhere what is secret.
pub(super) fn post(url: &str, content_type: &str, body: &[u8]) -> Result<(), NotifyError> {
    let to = shown(url);
    let bad_url = || NotifyError::Url { to: to.clone() };
    let unreachable = |why: String| NotifyError::Unreachable {
        to: to.clone(),
        why: why.replace(url, &to),
    };
    let mut request = HttpRequest::new(body.to_vec().into());
    request.set_method("POST").map_err(|_| bad_url())?;
    request.set_uri(url).map_err(|_| bad_url())?;
    let headers = [
        ("content-type", content_type),
        (
            "user-agent",
            concat!("coldchain/", env!("CARGO_PKG_VERSION")),
        ),
    ];
    for (name, value) in headers {
        let set = request.headers_mut().try_insert(name, value.to_owned());
        set.map_err(|_| bad_url())?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unreachable(error.to_string()))?;
    let answer = runtime.block_on(async {
        let connector = Connector::builder()
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build();
        tokio::time::timeout(AT_MOST, connector.call(request)).await
    });
    // A name that is still looked up by the system must not hold up the end.
    runtime.shutdown_timeout(Duration::ZERO);
    match answer {
        Err(_) => Err(NotifyError::TooSlow {
            to,
            seconds: AT_MOST.as_secs(),
        }),
        Ok(Err(error)) => Err(unreachable(innermost(&error))),
        Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
        Ok(Ok(answer)) => Err(NotifyError::Refused {
            to,
            status: answer.status().as_u16(),
        }),
    }
}

/// Returns the cause that says most: the outer ones are of the library.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}
