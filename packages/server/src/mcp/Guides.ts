/**
 * What a model can read about working within a budget.
 *
 * @internal
 */

export const quickstart = `# Working within a budget

Whatever costs money, tokens, credits or risk is reserved first, done second and settled last.

1. **Reserve.** Call \`cycles_reserve\` with an \`idempotencyKey\` of your own, the \`action\` you want to take and an \`estimate\`
   that it will not exceed.
   - \`ALLOW\`: you have a \`reservationId\`. Go on.
   - \`ALLOW_WITH_CAPS\`: go on, and keep to what \`caps\` say: so many tokens, these tools, that long a pause.
   - An error such as \`BUDGET_EXCEEDED\`: do not take the action. Nothing is held.
2. **Act.** If it takes longer than the reservation lasts, call \`cycles_extend\` in time.
3. **Settle.** Call \`cycles_commit\` with what it really cost; the rest of the hold is given back. If you did not act, call
   \`cycles_release\`.

## Amounts

An amount is a unit and a whole number. \`USD_MICROCENTS\` are money: 1 US dollar is 100000000, and one cent is 1000000. \`TOKENS\`,
\`CREDITS\` and \`RISK_POINTS\` are counted as they are. Write numbers above 9007199254740991 as text, such as "9007199254740993".

## Keys

Every change has an \`idempotencyKey\`. If you do not know whether a call arrived, make it again with the same key and the same
arguments: it is done once. Choose a new key for something new.

## An example

    cycles_reserve { "idempotencyKey": "summary-17", "subject": { "agent": "writer" },
                     "action": { "kind": "llm.completion", "name": "gpt-4o" },
                     "estimate": { "unit": "USD_MICROCENTS", "amount": 2000000 } }
    cycles_commit  { "reservationId": "…", "idempotencyKey": "summary-17-done",
                     "actual": { "unit": "USD_MICROCENTS", "amount": 1250000 } }
`

export const patterns = `# Patterns

## Ask before you plan
\`cycles_check_balance\` says what is left, and \`cycles_decide\` whether one thing would be allowed, without holding anything. Neither
is a promise: only \`cycles_reserve\` holds what it allows.

## One reservation for each thing that costs
A reservation for each call of a model or a tool says where the budget went. For a task of many small calls, reserve once for all of
them, and commit the sum.

## When little is left
A HINT says so below 15 % of a budget. Take the smaller model, ask for fewer tokens, drop what is nice to have, or stop at a point
where what is done is of use.

## When it is denied
Do not try the same thing again: it stays denied until somebody adds budget, or a hold ends. Do it for less, or say what is missing.
Where an answer has \`retryAfterMs\`, that is the earliest time at which it may be different.

## What acts, not only what costs
Sending, deleting and paying can be budgeted in \`RISK_POINTS\`: an agent that may spend 100 of them can send two mails at 40, and no
third.

## Several agents
Give each a name in \`subject\` (\`workflow\`, \`agent\`). A reservation has to fit into the budget of every scope above it, so one agent
cannot take what was meant for the others.

## What was not reserved
\`cycles_create_event\` charges what has happened already, such as a bill that came later.

## After a crash
Reservations end by themselves and give back what they held. \`cycles_list_reservations\` with \`status\` \`ACTIVE\` shows what is still
held; commit what was done, and release the rest.
`
