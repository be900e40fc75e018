/**
 * What is usually known at once, and sometimes has to be waited for. To await a value that is there costs a promise, two
 * closures and a turn of the microtask queue: done at each step of a removal, 2 to 4 % of its CPU time.
 */
export type MaybePromise<Value> = Value | Promise<Value>;

/** `next` of the value: now where it is there, else when it comes. */
export function whenKnown<Value, Next>(
  value: MaybePromise<Value>,
  next: (value: Value) => MaybePromise<Next>,
): MaybePromise<Next> {
  return value instanceof Promise ? value.then(next) : next(value);
}
