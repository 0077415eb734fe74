/**
 * What holds for a server where an option is not given.
 *
 * @since 0.1.0
 */

/**
 * What holds where an option is not given.
 *
 * @category configuration
 * @since 0.1.0
 */
export const defaults = {
  host: "127.0.0.1",
  port: 7_878,
  requestsPerSecond: 5_000,
  authFailuresPerMinute: 20,
  maxRequestBytes: 1_024 * 1_024,
  maxHeaderBytes: 16 * 1_024,
  maxConnections: 4_096,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  idleTimeoutMs: 65_000,
  drainDelayMs: 0,
  shutdownTimeoutMs: 30_000
} as const
