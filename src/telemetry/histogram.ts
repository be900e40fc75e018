/**
 * A histogram of times with one label, for prom-client's registry. Its own sorts and hashes labels at each observation,
 * five for every request; this one adds up, and hands over when somebody reads.
 */
import type { Histogram, Registry } from 'prom-client';

export interface HistogramOptions {
  readonly name: string;
  readonly help: string;
  readonly label: string;
}

/** From a denied caller (well under a millisecond) to BACKEND_TIMEOUT_MS's default and a bit. */
export const BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Series {
  /** How many took up to each of BUCKETS_SECONDS but longer than the one before; then how many took longer than all. */
  readonly counts: number[];
  sumSeconds: number;
}

/** Registers it. What it returns counts one observation of `ms` under `value` of the label. */
export function createHistogram(registry: Registry, options: HistogramOptions): (value: string, ms: number) => void {
  const { name, help, label } = options;
  const all = new Map<string, Series>();
  // What a registry asks of a metric; the declared type is that of prom-client's own classes.
  const metric = {
    name,
    get: async () => ({ name, help, type: 'histogram', values: [...all].flatMap(toSamples) }),
  };
  registry.registerMetric(metric as unknown as Histogram);

  function toSamples([value, { counts, sumSeconds }]: [string, Series]) {
    const labels = { [label]: value };
    let count = 0;
    const buckets = [...BUCKETS_SECONDS, '+Inf'].map((le, index) => {
      count += counts[index] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
    });
    const sum = { metricName: `${name}_sum`, labels, value: sumSeconds };
    return [...buckets, sum, { metricName: `${name}_count`, labels, value: count }];
  }

  return (value, ms) => {
    let series = all.get(value);
    if (series === undefined) {
      series = { counts: new Array(BUCKETS_SECONDS.length + 1).fill(0), sumSeconds: 0 };
      all.set(value, series);
    }
    const seconds = ms / 1000;
    let bucket = 0;
    while (seconds > (BUCKETS_SECONDS[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sumSeconds += seconds;
  };
}
