"""Runs the cases of ../cases.json with the Python client that is importable as `runcycles`, through what that package exports,
and prints one line of JSON for each. Where and as whom: CYCLES_BASE_URL, CYCLES_API_KEY, CYCLES_TENANT."""

import asyncio
import json
import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from uuid import uuid4

import runcycles
from runcycles import (
    Action,
    Amount,
    AsyncCyclesClient,
    BalanceResponse,
    BudgetExceededError,
    CommitRequest,
    CommitResponse,
    CyclesClient,
    CyclesConfig,
    CyclesMetrics,
    DebtOutstandingError,
    DecisionRequest,
    DecisionResponse,
    DryRunResult,
    EventCreateRequest,
    EventCreateResponse,
    OverdraftLimitExceededError,
    ReleaseRequest,
    ReleaseResponse,
    ReservationCreateRequest,
    ReservationCreateResponse,
    ReservationDetail,
    ReservationExtendRequest,
    ReservationExtendResponse,
    ReservationListResponse,
    Subject,
    Unit,
    cycles,
    get_cycles_context,
)

TENANT = os.environ["CYCLES_TENANT"]
CONFIG = CyclesConfig.from_env()
CLIENT = CyclesClient(CONFIG)
ACTION = Action(kind="llm.completion", name="gpt-4o")
# Late charges become events since 0.5.
RECOVERS = "journal_dir" in {field.name for field in fields(CyclesConfig)}


def tokens(amount):
    return Amount(unit=Unit.TOKENS, amount=amount)


def key():
    return str(uuid4())


def holding(agent, amount, **more):
    """A request to hold so much for the agent that is called like the case."""
    request = {
        "idempotency_key": key(),
        "subject": Subject(tenant=TENANT, agent=agent),
        "action": ACTION,
        "estimate": tokens(amount),
        "ttl_ms": 60_000,
    }
    return ReservationCreateRequest(**{**request, **more})


def answered(response, status, model):
    assert response.status == status, f"{response.status} {response.body} {response.error_message}"
    assert response.request_id
    assert response.cycles_tenant == TENANT
    return model.model_validate(response.body)


def refused(response, status, code):
    # Not by `get_error_response`: that knows no `trace_id`, which the protocol wants in every error, and so reads none of them.
    assert (response.status, response.get_body_attribute("error")) == (status, code), f"{response.status} {response.body}"
    assert response.get_body_attribute("message") == response.error_message
    assert response.get_body_attribute("request_id") == response.request_id


def reserve(request):
    return answered(CLIENT.create_reservation(request), 200, ReservationCreateResponse)


def committing(reservation_id, amount, **more):
    request = {"idempotency_key": key(), "actual": tokens(amount), **more}
    return CLIENT.commit_reservation(reservation_id, CommitRequest(**request))


def commit(reservation_id, amount, **more):
    return answered(committing(reservation_id, amount, **more), 200, CommitResponse)


def release(reservation_id):
    request = ReleaseRequest(idempotency_key=key(), reason="over")
    return answered(CLIENT.release_reservation(reservation_id, request), 200, ReleaseResponse)


def detail(reservation_id):
    return answered(CLIENT.get_reservation(reservation_id), 200, ReservationDetail)


def guarded(agent, estimate, **more):
    """The decorator of a case."""
    options = {"client": CLIENT, "unit": Unit.TOKENS, "action_kind": ACTION.kind, "action_name": ACTION.name}
    return cycles(estimate, **{**options, "tenant": TENANT, "agent": agent, **more})


def raised(error, call):
    try:
        call()
    except error as found:
        return found
    raise AssertionError(f"{error.__name__} was not raised")


def lifecycle():
    held = reserve(holding("lifecycle", 1_000))
    assert held.decision == "ALLOW"
    assert held.reserved == tokens(1_000)
    assert held.affected_scopes == [f"tenant:{TENANT}", f"tenant:{TENANT}/agent:lifecycle"]
    done = commit(held.reservation_id, 700)
    assert (done.status, done.charged, done.released) == ("COMMITTED", tokens(700), tokens(300))
    assert detail(held.reservation_id).committed == tokens(700)


def released():
    held = reserve(holding("release", 400))
    done = release(held.reservation_id)
    assert (done.status, done.released) == ("RELEASED", tokens(400))
    assert detail(held.reservation_id).status == "RELEASED"


def extend():
    held = reserve(holding("extend", 100, ttl_ms=10_000))
    request = ReservationExtendRequest(idempotency_key=key(), extend_by_ms=30_000)
    extended = answered(
        CLIENT.extend_reservation(held.reservation_id, request), 200, ReservationExtendResponse
    )
    assert (extended.status, extended.expires_at_ms) == ("ACTIVE", held.expires_at_ms + 30_000)
    commit(held.reservation_id, 50)


def denied():
    refused(CLIENT.create_reservation(holding("denied", 101)), 409, "BUDGET_EXCEEDED")


def caps():
    held = reserve(holding("caps", 10))
    assert held.decision == "ALLOW_WITH_CAPS"
    assert held.caps.max_tokens == 256
    assert (held.caps.is_tool_allowed("shell"), held.caps.is_tool_allowed("search")) == (False, True)
    commit(held.reservation_id, 10)


def expired():
    held = reserve(holding("expired", 100, ttl_ms=1_000, grace_period_ms=0))
    time.sleep(1.2)
    refused(committing(held.reservation_id, 100), 410, "RESERVATION_EXPIRED")


def finalized():
    held = reserve(holding("finalized", 100))
    commit(held.reservation_id, 30)
    refused(committing(held.reservation_id, 40), 409, "RESERVATION_FINALIZED")


def charging(agent, amount):
    subject = Subject(tenant=TENANT, agent=agent)
    return EventCreateRequest(idempotency_key=key(), subject=subject, action=ACTION, actual=tokens(amount))


def event():
    done = answered(CLIENT.create_event(charging("event", 50)), 201, EventCreateResponse)
    assert done.status == "APPLIED"
    assert done.event_id


def decide():
    def ask(amount):
        subject = Subject(tenant=TENANT, agent="decide")
        request = DecisionRequest(idempotency_key=key(), subject=subject, action=ACTION, estimate=tokens(amount))
        return answered(CLIENT.decide(request), 200, DecisionResponse)

    assert ask(100).decision == "ALLOW"
    no = ask(101)
    assert (no.decision, no.reason_code) == ("DENY", "BUDGET_EXCEEDED")


def dry_run():
    tried = reserve(holding("dryRun", 100, dry_run=True))
    assert (tried.decision, tried.reservation_id, tried.expires_at_ms) == ("ALLOW", None, None)


def listed():
    made = [reserve(holding("list", 10)).reservation_id for _ in range(3)]

    def page(**more):
        response = CLIENT.list_reservations(agent="list", status="ACTIVE", limit="2", **more)
        return answered(response, 200, ReservationListResponse)

    first = page()
    assert (len(first.reservations), first.has_more) == (2, True)
    second = page(cursor=first.next_cursor)
    assert (len(second.reservations), bool(second.has_more)) == (1, False)
    found = [row.reservation_id for row in first.reservations + second.reservations]
    assert sorted(found) == sorted(made)
    for reservation_id in made:
        release(reservation_id)
    assert page().reservations == []


def balances():
    commit(reserve(holding("balances", 100)).reservation_id, 25)
    still = reserve(holding("balances", 75))
    found = answered(CLIENT.get_balances(tenant=TENANT, agent="balances"), 200, BalanceResponse).balances
    (own,) = [row for row in found if row.scope == f"tenant:{TENANT}/agent:balances"]
    amounts = [amount.amount for amount in (own.allocated, own.spent, own.reserved, own.remaining)]
    assert amounts == [10_000, 25, 75, 9_900]
    release(still.reservation_id)


def replay():
    request = holding("replay", 100)
    first = CLIENT.create_reservation(request).body
    second = CLIENT.create_reservation(request).body
    assert {**first, "remaining_ttl_ms": 0} == {**second, "remaining_ttl_ms": 0}
    again = key()
    done = commit(first["reservation_id"], 100, idempotency_key=again)
    assert commit(first["reservation_id"], 100, idempotency_key=again) == done
    charge = charging("replay", 7)
    once = answered(CLIENT.create_event(charge), 201, EventCreateResponse)
    assert answered(CLIENT.create_event(charge), 201, EventCreateResponse) == once


def mismatch():
    request = holding("mismatch", 100)
    held = reserve(request)
    other = request.model_copy(update={"estimate": tokens(101)})
    refused(CLIENT.create_reservation(other), 409, "IDEMPOTENCY_MISMATCH")
    release(held.reservation_id)


def unauthorized():
    with CyclesClient(replace(CONFIG, api_key="nobody")) as stranger:
        refused(stranger.create_reservation(holding("unauthorized", 1)), 401, "UNAUTHORIZED")


def forbidden():
    request = holding("forbidden", 1, subject=Subject(tenant="somebody-else"))
    refused(CLIENT.create_reservation(request), 403, "FORBIDDEN")


def not_found():
    refused(committing("rsv_there-is-none", 1), 404, "NOT_FOUND")
    refused(CLIENT.get_reservation("rsv_there-is-none"), 404, "NOT_FOUND")


def unit_mismatch():
    held = reserve(holding("unitMismatch", 100))
    other = Amount(unit=Unit.CREDITS, amount=1)
    refused(committing(held.reservation_id, 1, actual=other), 400, "UNIT_MISMATCH")
    release(held.reservation_id)


def invalid():
    body = holding("invalid", 1).model_dump(exclude_none=True)
    negative = {**body, "estimate": {"unit": "TOKENS", "amount": -1}}
    refused(CLIENT.create_reservation(negative), 400, "INVALID_REQUEST")
    refused(CLIENT.create_reservation({**body, "surprise": True}), 400, "INVALID_REQUEST")


def debt():
    held = reserve(holding("debt", 100, overage_policy="ALLOW_WITH_OVERDRAFT"))
    assert commit(held.reservation_id, 150).charged == tokens(150)
    refused(CLIENT.create_reservation(holding("debt", 1)), 409, "BUDGET_EXCEEDED")


def over_limit():
    held = reserve(holding("overLimit", 100, overage_policy="ALLOW_IF_AVAILABLE"))
    assert commit(held.reservation_id, 150).charged == tokens(100)
    refused(CLIENT.create_reservation(holding("overLimit", 1)), 409, "OVERDRAFT_LIMIT_EXCEEDED")


def indebted():
    refused(CLIENT.create_reservation(holding("indebted", 1)), 409, "DEBT_OUTSTANDING")


def exact():
    amount = 3_999_999_999_999_999_999
    held = reserve(holding("exact", amount))
    assert commit(held.reservation_id, amount).charged == tokens(amount)


def metadata():
    held = reserve(
        holding(
            "metadata",
            20,
            subject=Subject(tenant=TENANT, agent="metadata", dimensions={"run_id": "run-1"}),
            action=ACTION.model_copy(update={"tags": ["night"]}),
            metadata={"purpose": "proof"},
        )
    )
    metrics = CyclesMetrics(
        tokens_input=4, tokens_output=8, latency_ms=20, model_version="1", custom={"cached": True}
    )
    commit(held.reservation_id, 12, metrics=metrics, metadata={"purpose": "proof of charge"})
    # Without a model: `ReservationDetail` knows no `committed_metadata`, which the protocol always shows.
    found = CLIENT.get_reservation(held.reservation_id)
    assert found.get_body_attribute("subject")["dimensions"] == {"run_id": "run-1"}
    assert found.get_body_attribute("action")["tags"] == ["night"]
    assert found.get_body_attribute("metadata") == {"purpose": "proof"}
    assert found.get_body_attribute("committed_metadata") == {"purpose": "proof of charge"}


def guard():
    @guarded("guard", lambda text: len(text) * 10, actual=lambda result: result["used"])
    def call(text):
        context = get_cycles_context()
        assert context.decision == "ALLOW"
        assert context.reservation_id
        return {"text": text, "used": 42}

    assert call("0123456789") == {"text": "0123456789", "used": 42}


def guard_fails():
    failure = RuntimeError("the model is down")

    @guarded("guardFails", 100)
    def call():
        raise failure

    assert raised(RuntimeError, call) is failure


def guard_denied():
    runs = []

    @guarded("guardDenied", 11)
    def call():
        runs.append(1)

    error = raised(BudgetExceededError, call)
    assert error.status == 409
    assert error.is_budget_exceeded()
    assert runs == []


def guard_caps():
    @guarded("guardCaps", 10, actual=5)
    def call():
        context = get_cycles_context()
        return [context.decision, context.caps.max_tokens]

    assert call() == ["ALLOW_WITH_CAPS", 128]


def guard_over_limit():
    @guarded("guardOverLimit", 100, actual=150)
    def call():
        return "done"

    assert call() == "done"
    raised(OverdraftLimitExceededError, call)


def guard_indebted():
    @guarded("guardIndebted", 1)
    def call():
        raise AssertionError("it ran")

    raised(DebtOutstandingError, call)


def guard_dry_run():
    runs = []

    @guarded("guardDryRun", 100, dry_run=True)
    def call():
        runs.append(1)

    result = call()
    assert isinstance(result, DryRunResult)
    assert result.decision == "ALLOW"
    assert runs == []


def streaming(agent):
    subject = Subject(tenant=TENANT, agent=agent)
    return CLIENT.stream_reservation(
        subject=subject, action=ACTION, estimate=tokens(100), cost_fn=lambda usage: usage.tokens_input + usage.tokens_output
    )


def stream():
    with streaming("stream") as reservation:
        reservation_id = reservation.reservation_id
        assert detail(reservation_id).status == "ACTIVE"
        reservation.usage.add_input_tokens(30)
        reservation.usage.add_output_tokens(50)
    assert detail(reservation_id).committed == tokens(80)


def stream_fails():
    ids = []

    def call():
        with streaming("streamFails") as reservation:
            ids.append(reservation.reservation_id)
            raise RuntimeError("the reader went away")

    raised(RuntimeError, call)
    assert detail(ids[0]).status == "RELEASED"


def heartbeat():
    # How early a lease is renewed depends on how long a request may take.
    with CyclesClient(replace(CONFIG, connect_timeout=1.0, read_timeout=2.0)) as client:
        ids = []

        @guarded("heartbeat", 100, client=client, ttl_ms=12_000, grace_period_ms=0, actual=60)
        def call():
            ids.append(get_cycles_context().reservation_id)
            time.sleep(13)

        call()
        assert detail(ids[0]).committed == tokens(60)


def late():
    ids = []

    @guarded("late", 100, ttl_ms=1_000, grace_period_ms=0, actual=33)
    def call():
        ids.append(get_cycles_context().reservation_id)
        time.sleep(1.5)

    call()
    refused(CLIENT.get_reservation(ids[0]), 410, "RESERVATION_EXPIRED")


def asynchronous():
    async def run():
        async with AsyncCyclesClient(CONFIG) as client:
            held = answered(
                await client.create_reservation(holding("asynchronous", 50)), 200, ReservationCreateResponse
            )
            request = CommitRequest(idempotency_key=key(), actual=tokens(8))
            answered(await client.commit_reservation(held.reservation_id, request), 200, CommitResponse)

            @guarded("asynchronous", 50, client=client, actual=9)
            async def call():
                return get_cycles_context().reservation_id

            reservation_id = await call()
            return answered(await client.get_reservation(reservation_id), 200, ReservationDetail)

    assert asyncio.run(run()).committed == tokens(9)


CASES = {
    "lifecycle": lifecycle,
    "release": released,
    "extend": extend,
    "denied": denied,
    "caps": caps,
    "expired": expired,
    "finalized": finalized,
    "event": event,
    "decide": decide,
    "dryRun": dry_run,
    "list": listed,
    "balances": balances,
    "replay": replay,
    "mismatch": mismatch,
    "unauthorized": unauthorized,
    "forbidden": forbidden,
    "notFound": not_found,
    "unitMismatch": unit_mismatch,
    "invalid": invalid,
    "debt": debt,
    "overLimit": over_limit,
    "indebted": indebted,
    "exact": exact,
    "metadata": metadata,
    "guard": guard,
    "guardFails": guard_fails,
    "guardDenied": guard_denied,
    "guardCaps": guard_caps,
    "guardOverLimit": guard_over_limit,
    "guardIndebted": guard_indebted,
    "guardDryRun": guard_dry_run,
    "stream": stream,
    "streamFails": stream_fails,
    "heartbeat": heartbeat,
    "late": late,
    "asynchronous": asynchronous,
}


def say(name, outcome):
    # One write, for several threads do it.
    sys.stdout.write(json.dumps({"case": name, **outcome}) + "\n")
    sys.stdout.flush()


def run(name):
    if name == "late" and not RECOVERS:
        return {"absent": f"{runcycles.__version__} does not charge late usage as an event"}
    try:
        CASES[name]()
        return {}
    except BaseException:
        return {"error": traceback.format_exc()}


# Four at a time, those first that mostly wait.
WAITING = ["heartbeat", "late", "expired"]
with ThreadPoolExecutor(4) as pool:
    names = WAITING + [name for name in CASES if name not in WAITING]
    for done in [pool.submit(lambda name=name: say(name, run(name))) for name in names]:
        done.result()
