/** The folder with the server's binaries, where there is one. */
export declare const binaries: string | undefined;
/** Why no server can be started here, for tests to say so; `undefined` when one can. */
export declare const unavailable: string | undefined;
/** A port nobody listens on. */
export declare const freePort: () => Promise<number>;
/** A running server; `start` begins again on the same data after `stop` or `kill`. */
export interface Server {
    readonly port: number;
    readonly folder: string;
    readonly password: string;
    /** The address of a database, as its superuser. */
    readonly url: (database?: string) => string;
    readonly start: () => Promise<void>;
    /** Ends every session and writes everything down. */
    readonly stop: () => Promise<void>;
    /** Ends as in a power failure: no process writes anything more. */
    readonly kill: () => Promise<void>;
    /** Stops the server and removes its data. */
    readonly dispose: () => Promise<void>;
}
/**
 * Starts a server. Nothing is synced to the disk unless `durable` is set; a test of logic does not lose power. `settings` are
 * the server's own, such as `max_connections`.
 */
export declare const makeServer: (options?: {
    readonly durable?: boolean;
    readonly settings?: Readonly<Record<string, string>>;
}) => Promise<Server>;
//# sourceMappingURL=server.d.ts.map