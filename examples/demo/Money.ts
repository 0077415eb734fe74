/** Writes microcents as dollars, to the hundredth of a cent where nothing else is asked for. */
export const usd = (microcents: bigint, digits = 4): string => `$${(Number(microcents) / 1e8).toFixed(digits)}`
