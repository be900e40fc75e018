/** From figures to Markdown: medians over the rounds, ratios taken within a round, and what they say of the targets. */

/** Must and goal of issue "Fast". */
const MIB = 1024 * 1024;

export function printReport({ machine, minutes, rounds, workers, skipped, contenders, isQuick }) {
  const print = (text = '') => process.stdout.write(`${text}\n`);
  const date = new Date().toISOString().slice(0, 10);
  print(
    `Holdover beside others, ${date}, ${machine}; ${minutes} minutes${isQuick ? '; QUICK: no figures to rely on' : ''}`,
  );
  print();
  print(
    '64 tokens, 64 connections, 1,000 organizations, every user another; the contender alone on one core. CPU is user and',
  );
  print('system time of the contender; × is its ratio to floor-proxy in the same round; medians over the rounds.');
  print();
  printContenders(rounds, contenders, print);
  print();
  print('CPU microseconds a request by the number of tokens in turn, and × 64 tokens in the same round:');
  print();
  printTokens(rounds, contenders, print);
  if (workers.length > 0) {
    print();
    print('In workerd, HS256, 8 connections; × is the ratio to the bare worker in the same round:');
    print();
    printWorkers(workers, print);
  }
  print();
  printTargets(rounds, print);
  for (const line of skipped) print(`\nLeft out: ${line}.`);
  const foreign = median(rounds.map(({ foreignShare }) => foreignShare));
  print(`\nOther processes had ${(100 * foreign).toFixed(0)} % of a core (median): the less, the better the figures.`);
}

function printContenders(rounds, contenders, print) {
  const algs = ['HS256', 'RS256'];
  printRow(print, [
    'contender',
    ...algs.flatMap((alg) => [`${alg}: CPU µs`, '×']),
    'requests/s',
    'p50 ms',
    'resident MB',
    'leaves out',
  ]);
  printRow(print, ['---', '---:', '---:', '---:', '---:', '---:', '---:', '---:', '---']);
  for (const { name, leavesOut } of contenders) {
    const cells = algs.flatMap((alg) => {
      const of = pick(rounds, { alg, name, scenario: '64' });
      return [toCell(median(of.map(({ cpuMicros }) => cpuMicros)), 0), toCell(toFloorRatio(rounds, alg, name), 2)];
    });
    const hs = pick(rounds, { alg: 'HS256', name, scenario: '64' });
    const resident = Math.max(
      ...rounds.filter((figure) => figure.name === name).map(({ residentBytes }) => residentBytes),
    );
    printRow(print, [
      name,
      ...cells,
      toCell(median(hs.map(({ perSecond }) => perSecond)), 0),
      toCell(median(hs.map(({ p50Micros }) => p50Micros)) / 1000, 1),
      toCell(resident / MIB, 0),
      leavesOut,
    ]);
  }
}

function printTokens(rounds, contenders, print) {
  printRow(print, ['contender', 'algorithm', '1', '64', '20,000', '× 64']);
  printRow(print, ['---', '---', '---:', '---:', '---:', '---:']);
  for (const { name } of contenders.filter(({ isFloor }) => !isFloor)) {
    for (const alg of ['HS256', 'RS256']) {
      const cells = ['1', '64', '20000'].map((scenario) =>
        toCell(median(pick(rounds, { alg, name, scenario }).map(({ cpuMicros }) => cpuMicros)), 0),
      );
      printRow(print, [name, alg, ...cells, toCell(toScenarioRatio(rounds, alg, name, '20000'), 2)]);
    }
  }
}

function printWorkers(workers, print) {
  printRow(print, ['worker', 'CPU µs', '×', 'requests/s', 'p50 ms', 'resident MB']);
  printRow(print, ['---', '---:', '---:', '---:', '---:', '---:']);
  for (const name of new Set(workers.map((figure) => figure.name))) {
    const of = workers.filter((figure) => figure.name === name);
    const ratios = of.map(
      ({ round, cpuMicros }) => cpuMicros / workers.find((one) => one.isFloor && one.round === round).cpuMicros,
    );
    printRow(print, [
      name,
      toCell(median(of.map(({ cpuMicros }) => cpuMicros)), 0),
      toCell(median(ratios), 2),
      toCell(median(of.map(({ perSecond }) => perSecond)), 0),
      toCell(median(of.map(({ p50Micros }) => p50Micros)) / 1000, 2),
      toCell(Math.max(...of.map(({ residentBytes }) => residentBytes)) / MIB, 0),
    ]);
  }
}

function printTargets(rounds, print) {
  printRow(print, ['target', 'HS256', 'RS256', 'must', 'goal']);
  printRow(print, ['---', '---:', '---:', '---:', '---:']);
  const both = (toRatio) => ['HS256', 'RS256'].map((alg) => toCell(toRatio(alg), 2));
  printRow(print, ['CPU × floor-proxy', ...both((alg) => toFloorRatio(rounds, alg, 'holdover')), '1.40', '1.25']);
  printRow(print, ['CPU × fastify', ...both((alg) => toRatio(rounds, alg, 'holdover', 'fastify')), '0.75', '0.60']);
  const of20000 = both((alg) => toScenarioRatio(rounds, alg, 'holdover', '20000'));
  printRow(print, ['20,000 tokens × 64 tokens', ...of20000, '1.50, 2.00', '']);
  const resident = ['HS256', 'RS256'].map((alg) =>
    toCell(Math.max(...pick(rounds, { alg, name: 'holdover' }).map(({ residentBytes }) => residentBytes)) / MIB, 0),
  );
  printRow(print, ['resident MB after 20,000 tokens', ...resident, '150', '']);
  for (const scenario of ['one organization', 'users seen before']) {
    printRow(print, [
      `${scenario} × 1,000, every user another`,
      ...both((alg) => toScenarioRatio(rounds, alg, 'holdover', scenario)),
      scenario === 'one organization' ? '0.85 to 1.15' : '',
      '',
    ]);
  }
}

function toFloorRatio(rounds, alg, name) {
  return toRatio(rounds, alg, name, 'floor-proxy');
}

/** Of `name` to `other`, both with 64 tokens, in the same round. */
function toRatio(rounds, alg, name, other) {
  const base = pick(rounds, { alg, name: other, scenario: '64' });
  return median(
    pick(rounds, { alg, name, scenario: '64' }).flatMap(({ round, cpuMicros }) => {
      const same = base.find((figure) => figure.round === round);
      return same ? [cpuMicros / same.cpuMicros] : [];
    }),
  );
}

/** Of `scenario` to 64 tokens, in the same round. */
function toScenarioRatio(rounds, alg, name, scenario) {
  const base = pick(rounds, { alg, name, scenario: '64' });
  return median(
    pick(rounds, { alg, name, scenario }).map(
      ({ round, cpuMicros }) => cpuMicros / base.find((figure) => figure.round === round).cpuMicros,
    ),
  );
}

function pick(figures, wanted) {
  return figures.filter((figure) => Object.entries(wanted).every(([key, value]) => figure[key] === value));
}

export function median(numbers) {
  const sorted = [...numbers].sort((one, other) => one - other);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function toCell(number, digits) {
  return number === undefined || Number.isNaN(number) ? '' : number.toFixed(digits);
}

export function printRow(print, cells) {
  print(`| ${cells.join(' | ')} |`);
}
