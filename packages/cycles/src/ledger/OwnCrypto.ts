/**
 * The runtime's own cryptography, where it has any that answers at once: several times as quick as a portable one.
 *
 * @internal
 */

/** What of `node:crypto` is used. */
export interface OwnCrypto {
  readonly hash?: (algorithm: string, text: string) => string
  readonly createHmac?: (algorithm: string, key: string) => {
    readonly update: (text: string) => { readonly digest: (encoding: "hex") => string }
  }
}

// Asked for where it is used, so that nothing of Node needs to be there.
declare const process: { readonly getBuiltinModule?: (id: string) => OwnCrypto | undefined } | undefined

/** What is made of the runtime's own, believed once it has been right; else the portable one. */
export const preferred = <F>(
  portable: F,
  make: (own: OwnCrypto) => F | undefined,
  isRight: (made: F) => boolean
): F => {
  try {
    const own = typeof process === "undefined" ? undefined : process.getBuiltinModule?.("node:crypto")
    const made = own === undefined ? undefined : make(own)
    if (made !== undefined && isRight(made)) return made
  } catch {
    // One that is there in name only.
  }
  return portable
}
