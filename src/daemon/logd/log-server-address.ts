/** Where a log server listens, and is looked for. */

const SOCKET_NAME = 'nbd-mirror-logd.sock';

/** As given, or of the environment, or the usual place. */
export function logSocketOf(given: string | undefined, environment: NodeJS.ProcessEnv): string {
  return given ?? environment.NBD_MIRROR_LOG_SERVER ?? defaultLogSocket(environment);
}

function defaultLogSocket(environment: NodeJS.ProcessEnv): string {
  const runtime = environment.XDG_RUNTIME_DIR;
  return `${runtime === undefined || runtime === '' ? '/run' : runtime}/${SOCKET_NAME}`;
}
