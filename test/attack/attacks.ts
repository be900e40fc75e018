/**
 * THE ATTACK TABLE: by the door that is tried, each attack and the runtimes it can reach. Each row is one test of the same
 * name in `<door>.test.ts`. On Workers the bytes of a connection never reach Holdover: Cloudflare's edge reads them.
 */
const BOTH = ['node', 'workerd'] as const;
const NODE = ['node'] as const;

export const ATTACKS = {
  token: {
    'a token of the algorithm none': BOTH,
    'algorithm confusion: the public key taken for an HMAC secret': BOTH,
    'a kid that is a path, a query or a name of JavaScript': BOTH,
    'jku, x5u, jwk and x5c: the key that the token brings along': BOTH,
    'a signature of zeros': BOTH,
    'a key set that redirects to the attacker': BOTH,
    'a key set that is a bomb': BOTH,
    'a flood of unknown kids': BOTH,
    'an oversized token': BOTH,
    'a deeply nested token': BOTH,
    'the wrong kind of token': BOTH,
    'a scope given as text': BOTH,
    '__proto__ as a claim': BOTH,
  },
  tenant: {
    "another tenant's guid": BOTH,
    'the confused deputy: another organization named beside the path': BOTH,
    'access rules chosen by User-Agent': BOTH,
    'constructor and __proto__ as guid': BOTH,
    'constructor and __proto__ as user': BOTH,
    'constructor and __proto__ as client': BOTH,
    'constructor and __proto__ as credential': BOTH,
    'cache poisoning between tenants': BOTH,
  },
  path: {
    'a user id of dot segments': BOTH,
    'a user id with %2f': BOTH,
    'a user id with %252f': BOTH,
    'a user id with ; or ?': BOTH,
    'a user id with NUL': BOTH,
    'a user id with CRLF': BOTH,
    'a user id in overlong UTF-8': BOTH,
    'a user id of ten thousand characters': BOTH,
    'a user id of Unicode look-alikes': BOTH,
    'router disagreement: case': BOTH,
    'router disagreement: doubled slashes': BOTH,
    'router disagreement: dot segments': BOTH,
    'router disagreement: an absolute-form target': NODE,
    'router disagreement: method override': BOTH,
  },
  header: {
    'header injection through request ids': BOTH,
    'header injection through traceparent': BOTH,
    'spoofed X-Forwarded-*, Forwarded and CF-Connecting-IP, to the limiter': NODE,
    'spoofed X-Forwarded-For behind a trusted proxy, to the limiter': NODE,
    "a proxy's X-Forwarded-For hidden behind thousands of lines": NODE,
    'spoofed X-Forwarded-*, Forwarded, CF-Connecting-IP and underscore twins, to the origin': BOTH,
    'Connection: authorization': BOTH,
    'a Host that makes no URL': NODE,
    'requests that Node would answer by itself': NODE,
    'h2c smuggling': BOTH,
    'a trailer that would be a header': NODE,
  },
  limiter: {
    'key collisions between callers, addresses and organizations': BOTH,
    "another caller's quota spent": BOTH,
    "another tenant's quota spent": BOTH,
    'a fresh quota by a fresh token': BOTH,
    'a cardinality bomb in Redis': BOTH,
  },
  smuggling: {
    'CL.TE': BOTH,
    'TE.CL': BOTH,
    'TE.TE': NODE,
    'CL.0': BOTH,
    'two lengths, or one that is no number': NODE,
    'bare LF': NODE,
    'obs-fold and space before the colon': NODE,
    'chunk extensions': NODE,
    'chunk sizes that readers disagree about': NODE,
    'garbage behind requests that are still being answered': NODE,
  },
  slow: {
    'slow headers': NODE,
    'a slow body': BOTH,
    'a slow body that nobody reads': NODE,
    'a connection that says nothing': NODE,
    'garbage, and then never hanging up': NODE,
  },
  log: {
    'log injection': BOTH,
    'a canary through every door': BOTH,
    'secrets in a wrong configuration': NODE,
  },
  /** Not by way of a client: a million of them would take too long, and a text is best read. */
  inside: {
    'a cardinality bomb in the process: a million callers': NODE,
    'a cardinality bomb in the process: a million refused callers': NODE,
    'a cardinality bomb in the process: ids in targets of 30 KiB': NODE,
    'timing of secret comparisons': NODE,
    'regular expressions that are not linear': NODE,
  },
} as const satisfies Record<string, Record<string, readonly ('node' | 'workerd')[]>>;

export type Door = keyof typeof ATTACKS;
