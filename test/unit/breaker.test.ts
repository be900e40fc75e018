/** When calls go out and when they are refused at once, by a clock that the test moves. */
import { describe, expect, it } from 'vitest';
import { Breaker, type BreakerState } from '../../src/breaker.ts';

function open(failuresToOpen = 3) {
  const clock = { ms: 0 };
  const changes: BreakerState[] = [];
  const onChange = (state: BreakerState) => changes.push(state);
  const breaker = new Breaker({ failuresToOpen, openMs: 1000, monotonicMs: () => clock.ms, onChange });
  return { breaker, changes, clock };
}

function fail(breaker: Breaker, times: number) {
  for (let time = 0; time < times; time += 1) breaker.failed();
}

describe('a breaker', () => {
  it('opens after so many failures in a row, and not after as many with a success between them', () => {
    const { breaker } = open();
    fail(breaker, 2);
    breaker.succeeded();
    fail(breaker, 2);
    expect(breaker.tryAcquire()).toBe(true);
    fail(breaker, 1);
    expect(breaker.tryAcquire()).toBe(false);
  });

  it('lets one probe through after its time, and no second beside it', () => {
    const { breaker, clock } = open();
    fail(breaker, 3);
    clock.ms = 999;
    expect(breaker.tryAcquire()).toBe(false);
    clock.ms = 1000;
    expect(breaker.tryAcquire()).toBe(true);
    expect(breaker.tryAcquire()).toBe(false);
  });

  it('closes when the probe succeeds, and opens for another time when it fails', () => {
    const { breaker, changes, clock } = open();
    fail(breaker, 3);
    clock.ms = 1000;
    breaker.tryAcquire();
    breaker.failed();
    clock.ms = 1999;
    expect(breaker.tryAcquire()).toBe(false);
    clock.ms = 2000;
    expect(breaker.tryAcquire()).toBe(true);
    breaker.succeeded();
    expect(breaker.tryAcquire()).toBe(true);
    expect(breaker.tryAcquire()).toBe(true);
    expect(changes).toEqual(['open', 'half-open', 'open', 'half-open', 'closed']);
  });

  it('is not kept open by failures of calls that were out when it opened', () => {
    const { breaker, clock } = open();
    fail(breaker, 3);
    clock.ms = 900;
    fail(breaker, 5);
    clock.ms = 1000;
    expect(breaker.tryAcquire()).toBe(true);
  });

  it('sends another probe where the first never said how it ended', () => {
    const { breaker, clock } = open();
    fail(breaker, 3);
    clock.ms = 1000;
    breaker.tryAcquire();
    clock.ms = 2000;
    expect(breaker.tryAcquire()).toBe(true);
  });
});
