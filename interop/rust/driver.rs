//! Runs the cases of ../cases.json with the Rust client it is built with, through what that crate exports, and prints one line
//! of JSON for each. Where and as whom: CYCLES_BASE_URL, CYCLES_API_KEY, CYCLES_TENANT.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use runcycles::models::*;
use runcycles::{with_cycles, CyclesClient, CyclesConfig, Error, WithCyclesConfig};
use serde_json::json;
use tokio::sync::Semaphore;

type Outcome = Result<(), Box<dyn StdError + Send + Sync>>;

macro_rules! same {
    ($found:expr, $expected:expr) => {{
        let (found, expected) = (&$found, &$expected);
        if found != expected {
            return Err(format!("line {}: {:?} is not {:?}", line!(), found, expected).into());
        }
    }};
}

fn tenant() -> String {
    std::env::var("CYCLES_TENANT").expect("CYCLES_TENANT")
}

fn config() -> CyclesConfig {
    CyclesConfig::from_env().expect("CYCLES_BASE_URL and CYCLES_API_KEY")
}

fn client() -> CyclesClient {
    CyclesClient::new(config())
}

fn subject(agent: &str) -> Subject {
    Subject {
        tenant: Some(tenant()),
        agent: Some(agent.into()),
        ..Default::default()
    }
}

fn action() -> Action {
    Action::new("llm.completion", "gpt-4o")
}

/// A request to hold so much for the agent that is called like the case.
fn holding(agent: &str, amount: i64) -> ReservationCreateRequest {
    ReservationCreateRequest::builder()
        .subject(subject(agent))
        .action(action())
        .estimate(Amount::tokens(amount))
        .build()
}

fn charge(amount: i64) -> CommitRequest {
    CommitRequest::builder().actual(Amount::tokens(amount)).build()
}

fn over() -> ReleaseRequest {
    ReleaseRequest::new(Some("over".into()))
}

fn guarded(agent: &str, estimate: i64) -> WithCyclesConfig {
    WithCyclesConfig::new(Amount::tokens(estimate))
        .action("llm.completion", "gpt-4o")
        .subject(subject(agent))
}

/// Asserts the status and the code of a refusal.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, status: u16, code: ErrorCode) -> Outcome {
    match result {
        Err(Error::Api { status: found, code: Some(named), request_id: Some(_), .. }) if (found, named) == (status, code) => Ok(()),
        other => Err(format!("{other:?} is not {status} {code:?}").into()),
    }
}

/// Asserts a denial. For this client those of a budget over its limit and of one in debt are the same.
fn exceeded<T: std::fmt::Debug>(result: Result<T, Error>) -> Outcome {
    match result {
        Err(Error::BudgetExceeded { request_id: Some(_), .. }) => Ok(()),
        other => Err(format!("{other:?} is not BudgetExceeded").into()),
    }
}

fn id_of(held: &ReservationCreateResponse) -> Result<ReservationId, Error> {
    held.reservation_id
        .clone()
        .ok_or_else(|| Error::Validation("the hold has no id".into()))
}

async fn hold(client: &CyclesClient, request: &ReservationCreateRequest) -> Result<ReservationId, Error> {
    id_of(&client.create_reservation(request).await?)
}

async fn lifecycle() -> Outcome {
    let client = client();
    let held = client.create_reservation_with_metadata(&holding("lifecycle", 1_000)).await?;
    same!(held.request_id.is_some(), true);
    same!(held.cycles_tenant, Some(tenant()));
    same!(held.data.decision, Decision::Allow);
    same!(held.data.reserved, Some(Amount::tokens(1_000)));
    let scopes = vec![format!("tenant:{}", tenant()), format!("tenant:{}/agent:lifecycle", tenant())];
    same!(held.data.affected_scopes, scopes);
    let id = id_of(&held.data)?;
    let done = client.commit_reservation(&id, &charge(700)).await?;
    same!(done.status, CommitStatus::Committed);
    same!(done.charged, Amount::tokens(700));
    same!(done.released, Some(Amount::tokens(300)));
    same!(client.get_reservation(&id).await?.committed, Some(Amount::tokens(700)));
    Ok(())
}

async fn release() -> Outcome {
    let client = client();
    let id = hold(&client, &holding("release", 400)).await?;
    let done = client.release_reservation(&id, &over()).await?;
    same!(done.status, ReleaseStatus::Released);
    same!(done.released, Amount::tokens(400));
    same!(client.get_reservation(&id).await?.status, ReservationStatus::Released);
    Ok(())
}

async fn extend() -> Outcome {
    let client = client();
    let mut request = holding("extend", 100);
    request.ttl_ms = 10_000;
    let held = client.create_reservation(&request).await?;
    let id = id_of(&held)?;
    let extended = client.extend_reservation(&id, &ExtendRequest::new(30_000)).await?;
    same!(extended.status, ExtendStatus::Active);
    same!(Some(extended.expires_at_ms), held.expires_at_ms.map(|at| at + 30_000));
    client.commit_reservation(&id, &charge(50)).await?;
    Ok(())
}

async fn denied() -> Outcome {
    exceeded(client().create_reservation(&holding("denied", 101)).await)
}

async fn caps() -> Outcome {
    let client = client();
    let held = client.create_reservation(&holding("caps", 10)).await?;
    same!(held.decision, Decision::AllowWithCaps);
    let caps = held.caps.clone().ok_or("no caps")?;
    same!(caps.max_tokens, Some(256));
    same!((caps.is_tool_allowed("shell"), caps.is_tool_allowed("search")), (false, true));
    client.commit_reservation(&id_of(&held)?, &charge(10)).await?;
    Ok(())
}

async fn expired() -> Outcome {
    let client = client();
    let mut request = holding("expired", 100);
    request.ttl_ms = 1_000;
    request.grace_period_ms = Some(0);
    let id = hold(&client, &request).await?;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    refused(client.commit_reservation(&id, &charge(100)).await, 410, ErrorCode::ReservationExpired)
}

async fn finalized() -> Outcome {
    let client = client();
    let id = hold(&client, &holding("finalized", 100)).await?;
    client.commit_reservation(&id, &charge(30)).await?;
    refused(client.commit_reservation(&id, &charge(40)).await, 409, ErrorCode::ReservationFinalized)
}

fn charging(agent: &str, amount: i64) -> EventCreateRequest {
    EventCreateRequest::builder()
        .subject(subject(agent))
        .action(action())
        .actual(Amount::tokens(amount))
        .build()
}

async fn event() -> Outcome {
    let done = client().create_event(&charging("event", 50)).await?;
    same!(done.status, EventStatus::Applied);
    same!(done.event_id.as_str().is_empty(), false);
    Ok(())
}

async fn decide() -> Outcome {
    let client = client();
    let asking = |amount| {
        DecisionRequest::builder()
            .subject(subject("decide"))
            .action(action())
            .estimate(Amount::tokens(amount))
            .build()
    };
    same!(client.decide(&asking(100)).await?.decision, Decision::Allow);
    let no = client.decide(&asking(101)).await?;
    same!(no.decision, Decision::Deny);
    same!(no.reason_code.as_deref(), Some("BUDGET_EXCEEDED"));
    Ok(())
}

async fn dry_run() -> Outcome {
    let mut request = holding("dryRun", 100);
    request.dry_run = true;
    let tried = client().create_reservation(&request).await?;
    same!(tried.decision, Decision::Allow);
    same!((tried.reservation_id, tried.expires_at_ms), (None, None));
    Ok(())
}

async fn list() -> Outcome {
    let client = client();
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(hold(&client, &holding("list", 10)).await?);
    }
    let page = |cursor| ListReservationsParams {
        agent: Some("list".into()),
        status: Some("ACTIVE".into()),
        limit: Some(2),
        cursor,
        ..Default::default()
    };
    let first = client.list_reservations(&page(None)).await?;
    same!((first.reservations.len(), first.has_more), (2, Some(true)));
    let second = client.list_reservations(&page(first.next_cursor.clone())).await?;
    same!((second.reservations.len(), second.has_more.unwrap_or(false)), (1, false));
    let rows = first.reservations.iter().chain(&second.reservations);
    let mut found: Vec<_> = rows.map(|row| row.reservation_id.to_string()).collect();
    let mut expected: Vec<_> = made.iter().map(|id| id.to_string()).collect();
    found.sort();
    expected.sort();
    same!(found, expected);
    for id in &made {
        client.release_reservation(id, &over()).await?;
    }
    same!(client.list_reservations(&page(None)).await?.reservations.len(), 0);
    Ok(())
}

async fn balances() -> Outcome {
    let client = client();
    let id = hold(&client, &holding("balances", 100)).await?;
    client.commit_reservation(&id, &charge(25)).await?;
    let open = hold(&client, &holding("balances", 75)).await?;
    let query = BalanceParams {
        tenant: Some(tenant()),
        agent: Some("balances".into()),
        ..Default::default()
    };
    let scope = format!("tenant:{}/agent:balances", tenant());
    let found = client.get_balances(&query).await?.balances;
    let own = found.iter().find(|row| row.scope == scope).ok_or("no such balance")?;
    let amount = |part: &Option<Amount>| part.as_ref().map(|part| part.amount);
    same!((amount(&own.allocated), amount(&own.spent)), (Some(10_000), Some(25)));
    same!((amount(&own.reserved), own.remaining.amount), (Some(75), 9_900));
    client.release_reservation(&open, &over()).await?;
    Ok(())
}

async fn replay() -> Outcome {
    let client = client();
    let request = holding("replay", 100);
    let first = client.create_reservation(&request).await?;
    let second = client.create_reservation(&request).await?;
    same!(second.reservation_id, first.reservation_id);
    same!(second.expires_at_ms, first.expires_at_ms);
    let commit = charge(100);
    for _ in 0..2 {
        same!(client.commit_reservation(&id_of(&first)?, &commit).await?.charged, Amount::tokens(100));
    }
    let event = charging("replay", 7);
    let once = client.create_event(&event).await?;
    same!(client.create_event(&event).await?.event_id, once.event_id);
    Ok(())
}

async fn mismatch() -> Outcome {
    let client = client();
    let mut request = holding("mismatch", 100);
    let id = hold(&client, &request).await?;
    request.estimate = Amount::tokens(101);
    refused(client.create_reservation(&request).await, 409, ErrorCode::IdempotencyMismatch)?;
    client.release_reservation(&id, &over()).await?;
    Ok(())
}

async fn unauthorized() -> Outcome {
    let mut config = config();
    config.api_key = "nobody".into();
    let result = CyclesClient::new(config).create_reservation(&holding("unauthorized", 1)).await;
    refused(result, 401, ErrorCode::Unauthorized)
}

async fn forbidden() -> Outcome {
    let mut request = holding("forbidden", 1);
    request.subject.tenant = Some("somebody-else".into());
    refused(client().create_reservation(&request).await, 403, ErrorCode::Forbidden)
}

async fn not_found() -> Outcome {
    let client = client();
    let id = ReservationId::new("rsv_there-is-none");
    refused(client.commit_reservation(&id, &charge(1)).await, 404, ErrorCode::NotFound)?;
    refused(client.get_reservation(&id).await, 404, ErrorCode::NotFound)
}

async fn unit_mismatch() -> Outcome {
    let client = client();
    let id = hold(&client, &holding("unitMismatch", 100)).await?;
    let other = CommitRequest::builder().actual(Amount::credits(1)).build();
    refused(client.commit_reservation(&id, &other).await, 400, ErrorCode::UnitMismatch)?;
    client.release_reservation(&id, &over()).await?;
    Ok(())
}

async fn invalid() -> Outcome {
    let client = client();
    refused(client.create_reservation(&holding("invalid", -1)).await, 400, ErrorCode::InvalidRequest)?;
    let mut short = holding("invalid", 1);
    short.ttl_ms = 1;
    refused(client.create_reservation(&short).await, 400, ErrorCode::InvalidRequest)
}

async fn debt() -> Outcome {
    let client = client();
    let mut request = holding("debt", 100);
    request.overage_policy = Some(CommitOveragePolicy::AllowWithOverdraft);
    let id = hold(&client, &request).await?;
    same!(client.commit_reservation(&id, &charge(150)).await?.charged, Amount::tokens(150));
    exceeded(client.create_reservation(&holding("debt", 1)).await)
}

async fn over_limit() -> Outcome {
    let client = client();
    let mut request = holding("overLimit", 100);
    request.overage_policy = Some(CommitOveragePolicy::AllowIfAvailable);
    let id = hold(&client, &request).await?;
    same!(client.commit_reservation(&id, &charge(150)).await?.charged, Amount::tokens(100));
    exceeded(client.create_reservation(&holding("overLimit", 1)).await)
}

async fn indebted() -> Outcome {
    exceeded(client().create_reservation(&holding("indebted", 1)).await)
}

async fn exact() -> Outcome {
    let client = client();
    let amount = 3_999_999_999_999_999_999;
    let id = hold(&client, &holding("exact", amount)).await?;
    same!(client.commit_reservation(&id, &charge(amount)).await?.charged, Amount::tokens(amount));
    Ok(())
}

async fn metadata() -> Outcome {
    let client = client();
    let mut request = holding("metadata", 20);
    let dimensions = HashMap::from([("run_id".to_string(), "run-1".to_string())]);
    request.subject.dimensions = Some(dimensions.clone());
    request.action.tags = Some(vec!["night".into()]);
    request.metadata = Some(json!({ "purpose": "proof" }));
    let id = hold(&client, &request).await?;
    let mut commit = charge(12);
    commit.metrics = Some(CyclesMetrics {
        tokens_input: Some(4),
        tokens_output: Some(8),
        latency_ms: Some(20),
        model_version: Some("1".into()),
        custom: Some(HashMap::from([("cached".to_string(), json!(true))])),
    });
    commit.metadata = Some(json!({ "purpose": "proof of charge" }));
    client.commit_reservation(&id, &commit).await?;
    let found = client.get_reservation(&id).await?;
    same!(found.subject.dimensions, Some(dimensions));
    same!(found.action.tags, Some(vec!["night".to_string()]));
    same!(found.metadata.map(|metadata| metadata["purpose"].clone()), Some(json!("proof")));
    Ok(())
}

async fn guard() -> Outcome {
    let text = with_cycles(&client(), guarded("guard", 100), |context| async move {
        if context.decision != Decision::Allow {
            return Err("not allowed".into());
        }
        Ok(("done", Amount::tokens(42)))
    })
    .await?;
    same!(text, "done");
    Ok(())
}

async fn guard_fails() -> Outcome {
    let result = with_cycles(&client(), guarded("guardFails", 100), |_| async move {
        Err::<((), Amount), _>("the model is down".into())
    })
    .await;
    let message = result.err().map(|error| error.to_string()).unwrap_or_default();
    same!(message.contains("the model is down"), true);
    Ok(())
}

async fn guard_denied() -> Outcome {
    let result = with_cycles(&client(), guarded("guardDenied", 11), |_| async move {
        panic!("it ran");
        #[allow(unreachable_code)]
        Ok(((), Amount::tokens(0)))
    })
    .await;
    let error = result.err().ok_or("not denied")?;
    same!((error.is_budget_exceeded(), error.request_id().is_some()), (true, true));
    Ok(())
}

async fn guard_caps() -> Outcome {
    let found = with_cycles(&client(), guarded("guardCaps", 10), |context| async move {
        let most = context.caps.and_then(|caps| caps.max_tokens);
        Ok(((context.decision, most), Amount::tokens(5)))
    })
    .await?;
    same!(found, (Decision::AllowWithCaps, Some(128)));
    Ok(())
}

async fn guard_over_limit() -> Outcome {
    let client = client();
    with_cycles(&client, guarded("guardOverLimit", 100), |_| async move { Ok(((), Amount::tokens(150))) }).await?;
    let again = guarded("guardOverLimit", 1);
    exceeded(with_cycles(&client, again, |_| async move { Ok(((), Amount::tokens(1))) }).await)
}

async fn guard_indebted() -> Outcome {
    let request = guarded("guardIndebted", 1);
    exceeded(with_cycles(&client(), request, |_| async move { Ok(((), Amount::tokens(1))) }).await)
}

async fn stream() -> Outcome {
    let client = client();
    let guard = client.reserve(holding("stream", 100)).await?;
    let id = guard.reservation_id().clone();
    same!(client.get_reservation(&id).await?.status, ReservationStatus::Active);
    same!(guard.commit(charge(80)).await?.charged, Amount::tokens(80));
    same!(client.get_reservation(&id).await?.status, ReservationStatus::Committed);
    Ok(())
}

async fn stream_fails() -> Outcome {
    let client = client();
    let guard = client.reserve(holding("streamFails", 100)).await?;
    let id = guard.reservation_id().clone();
    drop(guard);
    for _ in 0..100 {
        if client.get_reservation(&id).await?.status == ReservationStatus::Released {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("a dropped guard did not release".into())
}

async fn heartbeat() -> Outcome {
    let mut config = config();
    // How early a lease is renewed depends on how long a request may take.
    config.connect_timeout = Duration::from_millis(1_000);
    config.read_timeout = Duration::from_millis(2_000);
    let client = CyclesClient::new(config);
    let lease = guarded("heartbeat", 100).ttl_ms(12_000).grace_period_ms(0);
    let id = with_cycles(&client, lease, |context| async move {
        tokio::time::sleep(Duration::from_millis(13_000)).await;
        Ok((context.reservation_id, Amount::tokens(60)))
    })
    .await?;
    same!(client.get_reservation(&id).await?.committed, Some(Amount::tokens(60)));
    Ok(())
}

async fn late() -> Outcome {
    let client = client();
    let lease = guarded("late", 100).ttl_ms(1_000).grace_period_ms(0);
    let id = with_cycles(&client, lease, |context| async move {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        Ok((context.reservation_id, Amount::tokens(33)))
    })
    .await?;
    refused(client.get_reservation(&id).await, 410, ErrorCode::ReservationExpired)
}

async fn blocking() -> Outcome {
    tokio::task::spawn_blocking(|| -> Outcome {
        let config = config();
        let client = CyclesClient::builder(config.api_key, config.base_url).build_blocking()?;
        let held = client.create_reservation(&holding("blocking", 50))?;
        same!(client.commit_reservation(&id_of(&held)?, &charge(17))?.charged, Amount::tokens(17));
        Ok(())
    })
    .await?
}

fn say(name: &str, more: Option<(&str, String)>) {
    let mut line = json!({ "case": name });
    if let Some((member, text)) = more {
        line[member] = json!(text);
    }
    println!("{line}");
}

static SLOTS: Semaphore = Semaphore::const_new(4);

fn case(name: &'static str, run: impl Future<Output = Outcome> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let _slot = SLOTS.acquire().await;
        let outcome = match tokio::spawn(run).await {
            Ok(outcome) => outcome,
            Err(panic) => Err(panic.into()),
        };
        say(name, outcome.err().map(|error| ("error", error.to_string())));
    })
}

#[tokio::main]
async fn main() {
    // Four at a time, those first that mostly wait.
    let mut running = vec![case("heartbeat", heartbeat()), case("expired", expired())];
    // Late charges become events since 0.3.
    if cfg!(feature = "recovers") {
        running.push(case("late", late()));
    } else {
        say("late", Some(("absent", "this version does not charge late usage as an event".into())));
    }
    running.extend([
        case("lifecycle", lifecycle()),
        case("release", release()),
        case("extend", extend()),
        case("denied", denied()),
        case("caps", caps()),
        case("finalized", finalized()),
        case("event", event()),
        case("decide", decide()),
        case("dryRun", dry_run()),
        case("list", list()),
        case("balances", balances()),
        case("replay", replay()),
        case("mismatch", mismatch()),
        case("unauthorized", unauthorized()),
        case("forbidden", forbidden()),
        case("notFound", not_found()),
        case("unitMismatch", unit_mismatch()),
        case("invalid", invalid()),
        case("debt", debt()),
        case("overLimit", over_limit()),
        case("indebted", indebted()),
        case("exact", exact()),
        case("metadata", metadata()),
        case("guard", guard()),
        case("guardFails", guard_fails()),
        case("guardDenied", guard_denied()),
        case("guardCaps", guard_caps()),
        case("guardOverLimit", guard_over_limit()),
        case("guardIndebted", guard_indebted()),
        case("stream", stream()),
        case("streamFails", stream_fails()),
        case("blocking", blocking()),
    ]);
    for task in running {
        let _ = task.await;
    }
}
