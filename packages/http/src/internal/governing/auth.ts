// Who is asking.
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { Governor } from "../../governance/Access.ts"
import { Caller } from "../../governance/Access.ts"
import * as Wire from "../../governance/Auth.ts"
import { GovernanceApi } from "../../GovernanceApi.ts"
import { governed } from "./answers.ts"

const introspect = (governor: Governor): Wire.AuthIntrospectResponse => {
  if (governor._tag === "operator") {
    const { permissions } = governor.operator
    return {
      authenticated: true,
      auth_type: "admin",
      permissions: permissions === undefined ? ["*"] : [...permissions],
      capabilities: Wire.operatorCapabilitiesOf(permissions)
    }
  }
  const { permissions = new Set(), scopeFilter = [], tenant } = governor.principal
  return {
    authenticated: true,
    auth_type: "tenant",
    permissions: [...permissions],
    capabilities: Wire.capabilitiesOf(permissions),
    tenant_id: tenant,
    ...(scopeFilter.length === 0 ? undefined : { scope_filter: scopeFilter })
  }
}

const answer = governed("introspectAuth", Wire.AuthIntrospectResponse)

export const auth = HttpApiBuilder.group(
  GovernanceApi,
  "auth",
  (handlers) => handlers.handleRaw("introspectAuth", () => answer(Effect.map(Caller, introspect)))
)
