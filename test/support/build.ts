/** Builds once per run what ships: the Node bundles and the Worker that `wrangler deploy` would upload. */
import { execFileSync } from 'node:child_process';

export const WORKER_BUNDLE = 'dist/worker';

export default function build(): void {
  const env = {
    ...process.env,
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_SEND_ERROR_REPORTS: 'false',
    WRANGLER_HIDE_BANNER: 'true',
  };
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit', env });
  const wrangler = [
    'node_modules/wrangler/bin/wrangler.js',
    'deploy',
    '--dry-run',
    '--outdir',
    `${process.cwd()}/${WORKER_BUNDLE}`,
  ];
  execFileSync(process.execPath, wrangler, { stdio: ['ignore', 'ignore', 'inherit'], env });
}
