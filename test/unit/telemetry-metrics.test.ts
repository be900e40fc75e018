/** What Prometheus reads: the counts, and that no client can make them grow without bound. */
import { Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { BUCKETS_SECONDS, createHistogram } from '../../src/telemetry/histogram.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { createRequestRecord, type RequestRecord, toEnding } from '../../src/telemetry/request-log.ts';

/** One request of 100 ms; `fill` is the pipeline. */
function observe(metrics: Metrics, userAgent: string, status: number, fill: Partial<RequestRecord>): void {
  let now = 0;
  const record = createRequestRecord(() => now);
  now = 20;
  record.step('authenticate');
  Object.assign(record, fill);
  now = 100;
  const request = new Request('https://holdover.example/', { headers: { 'User-Agent': userAgent } });
  metrics.observeRequest(record, toEnding(request, 'id', record, status));
}

async function seriesOf(metrics: Metrics): Promise<Map<string, number>> {
  const { text } = await metrics.render();
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

describe('a request', () => {
  it('is counted by operation, outcome and class of status, and by client', async () => {
    const metrics = createMetrics(() => 0);
    const fill = { operation: 'remove-org-user', caller: 'uaa-id-110' };
    observe(metrics, 'cf/6.53.0', 201, fill);
    observe(metrics, 'cf/6.22.2 (x)', 201, fill);
    observe(metrics, 'curl/8', 404, { failure: { kind: 'route-unknown' } });
    const series = await seriesOf(metrics);
    const count = (name: string) => series.get(name);
    expect(count('holdover_requests_total{operation="remove-org-user",outcome="success",status="2xx"}')).toBe(2);
    expect(count('holdover_requests_total{operation="none",outcome="route-unknown",status="4xx"}')).toBe(1);
    expect(count('holdover_requests_by_client_total{client="cf"}')).toBe(2);
    expect(count('holdover_requests_by_client_total{client="unverified"}')).toBe(1);
  });

  it('is measured as a whole and by each step that ran', async () => {
    const metrics = createMetrics(() => 0);
    observe(metrics, 'cf/6', 201, {});
    const series = await seriesOf(metrics);
    expect(series.get('holdover_request_duration_seconds_sum{operation="none"}')).toBeCloseTo(0.1);
    expect(series.get('holdover_request_duration_seconds_bucket{le="0.05",operation="none"}')).toBe(0);
    expect(series.get('holdover_request_duration_seconds_bucket{le="0.1",operation="none"}')).toBe(1);
    expect(series.get('holdover_step_duration_seconds_sum{step="authenticate"}')).toBeCloseTo(0.02);
    expect(series.get('holdover_step_duration_seconds_count{step="backend"}')).toBeUndefined();
  });

  it('cannot make new series: 100 clients by name, and none for callers without a valid token', async () => {
    const metrics = createMetrics(() => 0);
    const before = (await seriesOf(metrics)).size;
    for (let n = 0; n < 1000; n++) observe(metrics, `bot-${n}/1`, 401, {});
    for (let n = 0; n < 1000; n++) observe(metrics, `kind-${n}/1`, 201, { caller: `c-${n}` });
    const series = await seriesOf(metrics);
    const names = [...series.keys()].filter((name) => name.startsWith('holdover_requests_by_client_total'));
    expect(names).toHaveLength(102);
    expect(series.get('holdover_requests_by_client_total{client="unverified"}')).toBe(1000);
    expect(series.get('holdover_requests_by_client_total{client="other"}')).toBe(900);
    expect(series.size - before).toBeLessThan(150);
  });
});

describe('the parts', () => {
  it('are counted under the names that the README gives', async () => {
    let dropped = 3;
    const metrics = createMetrics(() => dropped);
    metrics.cache('tokens', true);
    metrics.cache('tokens', true);
    metrics.cache('tokens', false);
    metrics.limiter('local');
    metrics.breaker('redis', 'open');
    metrics.breaker('backend', 'half-open');
    metrics.stale('key-set');
    metrics.auditCopyFailed();
    let series = await seriesOf(metrics);
    expect(Object.fromEntries([...series].filter(([name]) => name.startsWith('holdover_')))).toEqual({
      'holdover_cache_lookups_total{cache="tokens",result="hit"}': 2,
      'holdover_cache_lookups_total{cache="tokens",result="miss"}': 1,
      'holdover_limit_decisions_total{mode="local"}': 1,
      'holdover_breaker_state{breaker="redis"}': 2,
      'holdover_breaker_state{breaker="backend"}': 1,
      'holdover_stale_serves_total{source="key-set"}': 1,
      holdover_audit_copy_failures_total: 1,
      holdover_output_dropped_total: 3,
    });
    dropped = 5;
    metrics.breaker('redis', 'closed');
    series = await seriesOf(metrics);
    expect(series.get('holdover_output_dropped_total')).toBe(5);
    expect(series.get('holdover_breaker_state{breaker="redis"}')).toBe(0);
  });

  it("stand beside Node's own, in Prometheus' text", async () => {
    const { contentType, text } = await createMetrics(() => 0).render();
    expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(text).toContain('nodejs_eventloop_lag_seconds');
    expect(text).toContain('process_resident_memory_bytes');
  });
});

describe('a histogram', () => {
  it("says what prom-client's own would say of the same times", async () => {
    const [own, theirs] = [new Registry(), new Registry()];
    const [name, help] = ['h_seconds', 'Help.'];
    const observe = createHistogram(own, { name, help, label: 'step' });
    const histogram = new Histogram({
      name,
      help,
      labelNames: ['step'],
      buckets: BUCKETS_SECONDS,
      registers: [theirs],
    });
    const times = BUCKETS_SECONDS.flatMap((bound) => [bound * 999, bound * 1000, bound * 1001]);
    for (const [index, ms] of [0, ...times, 60_000].entries()) {
      const step = index % 3 === 0 ? 'limit' : 'a "quoted" one';
      observe(step, ms);
      histogram.labels(step).observe(ms / 1000);
    }
    expect(await own.metrics()).toBe(await theirs.metrics());
  });
});
