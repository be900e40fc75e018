/**
 * What Prometheus may read (Node only). Every series has a bounded set of labels, none of which a client without a valid
 * token can choose. What is counted for each request is added up here and handed over when somebody reads: prom-client
 * sorts and hashes labels at every increment.
 * Which counts there are: `meter.ts`, and `observeRequest` below.
 */
import { Counter, type CounterConfiguration, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { BreakerState } from '../breaker.ts';
import { createHistogram } from './histogram.ts';
import type { Meter } from './meter.ts';
import { type Ending, type RequestRecord, STEP_NAMES } from './request-log.ts';

export interface Metrics extends Meter {
  observeRequest(record: RequestRecord, ending: Ending): void;
  /** Prometheus text, with its Content-Type. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/** More kinds of clients than an operator would chase by name; whoever comes later counts as `other`. */
const CLIENTS_MAX = 100;

/** A client can be as many kinds as it likes, so one without a valid token is none of them. */
const UNVERIFIED = 'unverified';

const BREAKER_VALUES: Readonly<Record<BreakerState, number>> = { closed: 0, 'half-open': 1, open: 2 };

/** `droppedCount`: lines that standard output did not take (`LineWriter`). */
export function createMetrics(droppedCount: () => number): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const countRequest = createTally({
    name: 'holdover_requests_total',
    help: 'Requests by operation, outcome and class of status.',
    labelNames: ['operation', 'outcome', 'status'],
    registers,
  });
  const countClient = createTally({
    name: 'holdover_requests_by_client_total',
    help: `Requests of callers with a valid token, by product of User-Agent: the first ${CLIENTS_MAX}, then "other".`,
    labelNames: ['client'],
    registers,
  });
  const observeDuration = createHistogram(registry, {
    name: 'holdover_request_duration_seconds',
    help: 'Time from request to answer.',
    label: 'operation',
  });
  const observeStep = createHistogram(registry, {
    name: 'holdover_step_duration_seconds',
    help: 'Time a request spent in a step, where the step ran.',
    label: 'step',
  });
  const countLookup = createTally({
    name: 'holdover_cache_lookups_total',
    help: 'Look-ups by cache and result, hit or miss.',
    labelNames: ['cache', 'result'],
    registers,
  });
  const countDecision = createTally({
    name: 'holdover_limit_decisions_total',
    help: 'Limits decided, by who decided: redis, or while it does not answer what RATE_LIMIT_ON_FAILURE says.',
    labelNames: ['mode'],
    registers,
  });
  const breakers = new Gauge({
    name: 'holdover_breaker_state',
    help: 'State of a circuit breaker: 0 closed, 1 half-open, 2 open.',
    labelNames: ['breaker'],
    registers,
  });
  const stale = new Counter({
    name: 'holdover_stale_serves_total',
    help: 'Answers from what a source said before, because asking it again failed.',
    labelNames: ['source'],
    registers,
  });
  const copyFailures = new Counter({
    name: 'holdover_audit_copy_failures_total',
    help: 'Audit lines whose copy did not reach Redis.',
    registers,
  });
  new Counter({
    name: 'holdover_output_dropped_total',
    help: 'Lines that standard output did not take.',
    registers,
    collect() {
      this.reset();
      this.inc(droppedCount());
    },
  });

  const clientNames = new Set<string>([UNVERIFIED]);

  function toClient(record: RequestRecord, { product }: Ending): string {
    if (record.caller === undefined) return UNVERIFIED;
    const name = product?.split('/', 1)[0] ?? 'none';
    if (clientNames.size <= CLIENTS_MAX) clientNames.add(name);
    return clientNames.has(name) ? name : 'other';
  }

  return {
    observeRequest(record, ending) {
      const operation = record.operation ?? 'none';
      countRequest(`${operation} ${ending.outcome} ${Math.trunc(ending.status / 100)}xx`);
      countClient(toClient(record, ending));
      observeDuration(operation, ending.durationMs);
      for (const name of STEP_NAMES) {
        const ms = record.stepMs(name);
        if (ms > 0) observeStep(name, ms);
      }
    },
    cache: (name, isHit) => countLookup(isHit ? `${name} hit` : `${name} miss`),
    breaker: (name, state) => breakers.labels(name).set(BREAKER_VALUES[state]),
    limiter: (mode) => countDecision(mode),
    stale: (source) => stale.labels(source).inc(),
    auditCopyFailed: () => copyFailures.inc(),
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

/** Counts by the values of the labels, joined with a space: no value of ours holds one. */
function createTally<Label extends string>(options: CounterConfiguration<Label>): (values: string) => void {
  const counts = new Map<string, number>();
  new Counter({
    ...options,
    collect() {
      this.reset();
      for (const [values, count] of counts) this.labels(...values.split(' ')).inc(count);
    },
  });
  return (values) => counts.set(values, (counts.get(values) ?? 0) + 1);
}
