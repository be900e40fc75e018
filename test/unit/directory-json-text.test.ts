import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJsonText, toJsonPath } from '../../src/json-text.ts';

const toMistakes = (text: string) => {
  const parsed = parseJsonText(text);
  return parsed.ok ? [] : parsed.mistakes;
};

describe('JSON text', () => {
  it('refuses a member that stands twice, at any depth, with its path', () => {
    expect(toMistakes('{"users":{"a":1,"b":2,"a":3},"x":[1,{"y.z":{"k":1,"k":2}}]}')).toEqual([
      'users.a: stands twice',
      'x[1]["y.z"].k: stands twice',
    ]);
  });

  it('sees that two spellings are one name', () => {
    expect(toMistakes('{"a":1,"\\u0061":2}')).toEqual(['a: stands twice']);
  });

  it('takes one name in two objects for two members', () => {
    expect(toMistakes('[{"a":1},{"a":{"a":{"a":[]}}}]')).toEqual([]);
  });

  it.each([
    ['{"a": 1,\n "b": [1, 2,]\n}', 'line 2, column 13: not valid JSON: found "]"; accepted: a value'],
    ['{"a": 1,}', 'line 1, column 9: not valid JSON: found "}"; accepted: a name in double quotes'],
    ['{"a" 1}', 'line 1, column 6: not valid JSON: found "1"; accepted: ":"'],
    ["{'a': 1}", 'line 1, column 2: not valid JSON: found "\'"; accepted: a name in double quotes or "}"'],
    ['{"a": 1', 'line 1, column 8: not valid JSON: found the end of the text; accepted: "," or the closing bracket'],
    ['', 'line 1, column 1: not valid JSON: found the end of the text; accepted: a value'],
    ['{} {}', 'line 1, column 4: not valid JSON: found "{"; accepted: the end of the text'],
  ])('says where %j breaks', (text, mistake) => {
    expect(toMistakes(text)).toEqual([mistake]);
  });

  it('quotes no more than one character of a text that breaks', () => {
    expect(toMistakes('{"client_secret": hunter2}').join()).not.toContain('hunter2');
  });

  it('accepts exactly what JSON.parse accepts, and reads the same', () => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"b"',
      '"\\n"',
      '"\\x"',
      '1',
      '-0.5e+3',
      '01',
      'true',
      'null',
      ' ',
      '\n',
      '\u00a0',
      '"',
    ];
    const soup = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => parts.join(''));
    const edited = fc
      .tuple(fc.json(), fc.nat(), fc.constantFrom('', ...pieces))
      .map(
        ([json, at, piece]) => json.slice(0, at % (json.length + 1)) + piece + json.slice((at % (json.length + 1)) + 1),
      );
    fc.assert(
      fc.property(fc.oneof(soup, edited, fc.json()), (text) => {
        const ours = parseJsonText(text);
        let theirs: unknown;
        let isValid = true;
        try {
          theirs = JSON.parse(text);
        } catch {
          isValid = false;
        }
        const isDuplicate = !ours.ok && ours.mistakes.every((mistake) => mistake.endsWith(': stands twice'));
        expect(ours.ok || isDuplicate).toBe(isValid);
        if (ours.ok) expect(ours.value).toEqual(theirs);
      }),
      { seed: 20251121, numRuns: 5000 },
    );
  });

  it('keeps a name that is also a property of every object', () => {
    const parsed = parseJsonText('{"__proto__": 1}');
    expect(parsed.ok && Object.keys(parsed.value as object)).toEqual(['__proto__']);
  });

  it('writes a path as a person would', () => {
    expect(toJsonPath(['organizations', 3, 'backend', 'credential'])).toBe('organizations[3].backend.credential');
    expect(toJsonPath(['users', 'uaa-id-1'])).toBe('users["uaa-id-1"]');
  });
});
