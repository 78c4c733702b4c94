//! The throttling middleware (gitlab-api reference 6). It comes before everything else.

use super::{answer::Answer, auth::throttled_user, call::Call};
use crate::state::Registry;

/// Headers for the answer, or the refusal.
pub(super) fn throttle(registry: &mut Registry, call: &Call) -> Result<Vec<(String, String)>, Answer> {
    let Some(limit) = registry.settings.rate_limit else { return Ok(Vec::new()) };
    let user = throttled_user(registry, call);
    let now = registry.now().as_second();
    let period = i64::try_from(limit.period_seconds).unwrap_or(i64::MAX).max(1);
    // Fixed windows counted from the epoch, as the middleware has them.
    let window = now.div_euclid(period);
    let reset = window.saturating_add(1).saturating_mul(period);
    let (name, key) = match user {
        Some(user) => ("throttle_authenticated_api", user.to_string()),
        None => ("throttle_unauthenticated_api", "anonymous".to_owned()),
    };
    let counter = registry.throttled.entry(key).or_insert((window, 0));
    if counter.0 != window {
        *counter = (window, 0);
    }
    counter.1 += 1;
    let observed = counter.1;
    let per_minute = (limit.requests.saturating_mul(60)).div_ceil(limit.period_seconds.max(1));
    let headers = vec![
        ("ratelimit-limit".to_owned(), per_minute.to_string()),
        ("ratelimit-name".to_owned(), name.to_owned()),
        ("ratelimit-observed".to_owned(), observed.to_string()),
        ("ratelimit-remaining".to_owned(), limit.requests.saturating_sub(observed).to_string()),
        ("ratelimit-reset".to_owned(), reset.to_string()),
    ];
    if observed > limit.requests {
        let mut answer = too_many_requests(u64::try_from(reset - now).ok());
        answer.headers.extend(headers);
        let date = jiff::Timestamp::from_second(reset).map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        return Err(answer.header("ratelimit-resettime", date.unwrap_or_default()));
    }
    Ok(if limit.headers_on_every_answer { headers } else { Vec::new() })
}

/// The refusal itself: plain text.
pub(crate) fn too_many_requests(retry_after: Option<u64>) -> Answer {
    let answer = Answer::new(429, "text/plain", "Retry later".to_owned());
    match retry_after {
        Some(seconds) => answer.header("retry-after", seconds.to_string()),
        None => answer,
    }
}
