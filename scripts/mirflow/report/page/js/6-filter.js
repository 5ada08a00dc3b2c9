// The language of conditions on tracks, the same as in condition.py; tests/report/filter_cases.json is asked of both.

class FilterError extends Error {}

const TOKEN = /\s*(?:(\d[\d_]*\.?[\d_]*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)(?![\p{L}\d_.])|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|([\p{L}_][\p{L}\p{N}\p{M}_]*)|(<=|>=|==|!=|[<>()[\],-]))/uy;
const ESCAPES = { n: "\n", t: "\t", r: "\r" };
const WORDS = new Map([["null", null], ["None", null], ["true", true], ["True", true], ["false", false], ["False", false]]);
const RESERVED = new Set(["and", "or", "not", "in", "is", "if", "else", "lambda"]);
const ORDERS = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b };

function tokens(text) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const start = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) throw new FilterError(`Not understood from “${text.slice(start).trim()}” on.`);
    const [, number, quoted, name, sign] = match;
    if (number !== undefined) found.push({ kind: "literal", value: Number(number.replace(/_/g, "")), text: number, isNumber: true });
    else if (quoted !== undefined) found.push({ kind: "literal", value: unquoted(quoted), text: quoted });
    else if (name !== undefined) found.push({ kind: RESERVED.has(name) ? name : "name", text: name });
    else found.push({ kind: sign, text: sign });
    if (found.at(-2)?.kind === "name" && quoted !== undefined) throw new FilterError(`Not understood: “${found.at(-2).text}${quoted}”.`);
  }
  return found;
}

function unquoted(text) {
  return text.slice(1, -1).replace(/\\(u[\da-fA-F]{4}|x[\da-fA-F]{2}|.)/gs, (_, code) =>
    (code.length > 1 ? String.fromCharCode(parseInt(code.slice(1), 16)) : ESCAPES[code] ?? code));
}

/** Return a function that says of a row whether a condition holds. `known` are the keys, `get(key)` gives what reads a key. */
function condition(text, known, get) {
  const left = tokens(text);
  const next = (...kinds) => (kinds.includes(left[0]?.kind) ? left.shift() : null);
  const wrong = () => new FilterError(left.length ? `Not expected: “${left[0].text}”.` : "The filter is not finished.");
  const need = kind => next(kind) ?? (() => { throw wrong(); })();

  function either() {
    const parts = [both()];
    while (next("or")) parts.push(both());
    return parts.length > 1 ? row => parts.some(part => truth(part(row))) : parts[0];
  }

  function both() {
    const parts = [negation()];
    while (next("and")) parts.push(negation());
    return parts.length > 1 ? row => parts.every(part => truth(part(row))) : parts[0];
  }

  function negation() {
    if (!next("not")) return comparison();
    const part = negation();
    return row => !truth(part(row));
  }

  function comparison() {
    const first = operand();
    const pairs = [];
    for (let one = first, sign; (sign = comparer());) {
      const list = sign.endsWith("in") ? listed() : null;
      const two = list ? { read: () => list } : operand();
      pairs.push(compared(one, sign, two));
      one = two;
    }
    return pairs.length ? row => pairs.every(holds => holds(row)) : first.read;
  }

  function comparer() {
    const sign = next("<", "<=", ">", ">=", "==", "!=", "in");
    if (sign) return sign.kind;
    if (left[0]?.kind === "not" && left[1]?.kind === "in") return left.splice(0, 2) && "not in";
    return null;
  }

  function operand() {
    if (next("(")) {
      const inner = either();
      need(")");
      return { read: inner };
    }
    const name = next("name");
    if (!name) return constant(literal());
    if (name.text === "key" && next("(")) {
      const quoted = need("literal");
      if (quoted.isNumber) throw new FilterError("key() takes a name in quotes.");
      need(")");
      return key(quoted.value);
    }
    if (WORDS.has(name.text)) return { ...constant(WORDS.get(name.text)), isNull: name.text === "null" };
    return key(name.text);
  }

  function literal() {
    const minus = next("-");
    const found = next("literal");
    if (found && (!minus || found.isNumber)) return minus ? -found.value : found.value;
    const word = !minus && left[0]?.kind === "name" && WORDS.has(left[0].text) && left.shift();
    if (word) return WORDS.get(word.text);
    throw wrong();
  }

  /** Return the values of a list such as (1, 2) or ["a"], null where there is no list. One value in brackets is none. */
  function listed() {
    const close = { "(": ")", "[": "]" }[left[0]?.kind];
    const isList = close === "]" || (close && (left[1]?.kind === ")" || left[left[1]?.kind === "-" ? 3 : 2]?.kind === ","));
    if (!isList) return null;
    left.shift();
    const values = [];
    while (left[0]?.kind !== close) {
      values.push(literal());
      if (!next(",") && left[0]?.kind !== close) throw wrong();
    }
    left.shift();
    return values;
  }

  function key(name) {
    if (!known.includes(name)) throw new FilterError(`No track has the key “${name}”.${suggestion(name, known)}`);
    return { read: get(name) };
  }

  try {
    const whole = either();
    if (left.length) throw wrong();
    return row => truth(whole(row));
  } catch (error) {
    throw error instanceof RangeError ? new FilterError("The filter is nested too deeply.") : error;
  }
}

const constant = value => ({ read: () => value });
const truth = value => value !== null && value !== undefined && value !== false && value !== 0 && value !== "";
const plainValue = value => (typeof value === "boolean" ? Number(value) : value);

function compared(one, sign, two) {
  const isEquality = sign === "==" || sign === "!=";
  if (isEquality && (one.isNull || two.isNull)) {
    const other = one.isNull ? two : one;
    return row => ((other.read(row) ?? null) === null) === (sign === "==");
  }
  return row => {
    const [first, second] = [one.read(row), two.read(row)].map(plainValue);
    if (first == null || second == null) return false;
    if (sign.endsWith("in")) return contains(second, first) === (sign === "in");
    if (isEquality) return (first === second) === (sign === "==");
    return (typeof first === "string") === (typeof second === "string") && ORDERS[sign](first, second);
  };
}

function contains(second, first) {
  if (Array.isArray(second)) return second.map(plainValue).includes(first);
  return typeof first === "string" && typeof second === "string" && second.toLowerCase().includes(first.toLowerCase());
}

function suggestion(name, known) {
  const distance = other => {
    let line = Array.from({ length: other.length + 1 }, (_, place) => place);
    for (let one = 1; one <= name.length; one++) {
      const above = line;
      line = [one];
      for (let two = 1; two <= other.length; two++) {
        line[two] = Math.min(above[two] + 1, line[two - 1] + 1, above[two - 1] + (name[one - 1] !== other[two - 1]));
      }
    }
    return line[other.length];
  };
  const [near, far] = known.map(other => [other, distance(other)]).sort((a, b) => a[1] - b[1])[0] ?? [];
  return near && far <= Math.max(1, name.length / 3) ? ` Did you mean ${near}?` : "";
}
