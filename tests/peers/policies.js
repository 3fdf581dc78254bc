// What npm's semver and minimatch say of generated pairs, a line each: "semver RANGE<tab>VERSION<tab>ANSWER", "glob PATTERN<tab>NAME<tab>ANSWER".
// The folder with both packages is the first argument, how many of each the second, where the row of numbers starts the third.
const path = require('path')
const [folder, count, start] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const semver = require(path.join(folder, 'node_modules/semver'))
const { minimatch } = require(path.join(folder, 'node_modules/minimatch'))

let state = start >>> 0
const below = n => ((state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 8) % n
const one = list => list[below(list.length)]
const many = (n, make) => Array.from({ length: n }, make)

const number = () => below(20) ? one(['0', '0', '1', '1', '2', '3', '10'])
  : one(['4', '9007199254740991', '9007199254740992', '01', '99999999999999999999'])
const identifier = () => below(8) ? one(['0', '1', '2', 'alpha', 'beta', 'rc'])
  : one(['10', 'x', 'a-b', '-', '01', '1a', '9007199254740993', 'A'])
const prerelease = () => below(3) ? '' : '-' + many(1 + below(3), identifier).join('.')
const build = () => below(12) ? '' : '+' + many(1 + below(2), () => one(['1', 'sha', '01', 'a-b'])).join('.')
const version = () => (below(8) ? '' : 'v') + many(3, number).join('.') + prerelease() + build()
const part = () => below(4) ? number() : one(['x', 'X', '*'])
const partial = () => (below(10) ? '' : one(['v', '=', 'v=', '= ', 'v '])) +
  one([() => part(), () => part() + '.' + part(), () => many(3, part).join('.') + prerelease() + build()])() +
  (below(80) ? '' : one(['*', '.', '-', 'x', ' *']))
const blank = () => below(6) ? '' : one([' ', '  '])
const operators = ['', '', '=', '>', '<', '>=', '<=', '~', '^', '~>', '~', '^', '==', '=>', '><', '> =', 'v', '!']
const comparator = () => blank() + one(operators.slice(0, below(25) ? 12 : 18)) + blank() + partial()
const alternative = () => one([() => below(3) ? comparator() : '', () => partial() + one([' - ', ' - ', '-', ' -']) + partial(),
  ...many(6, () => () => many(1 + below(3), comparator).join(below(20) ? ' ' : ''))])()
const range = () => many(below(3) ? 1 : 1 + below(3), alternative).join(one(['||', ' || ', '|| ']))

const answer = (text, of) => {
  let parsed
  try { parsed = new semver.Range(text) } catch (error) { return 'no range' }
  return semver.valid(of) === null ? 'no version' : parsed.test(of) ? '1' : '0'
}
for (let i = 0; i < count; i++) {
  const text = range()
  const named = below(3) ? null : text.match(/\d+\.\d+\.\d+[-a-z0-9.]*/)
  const of = named ? named[0] : version()
  console.log(`semver ${text}\t${of}\t${answer(text, of)}`)
}

const letters = ['a', 'b', '1', '2', '.', '-', '_']
const glob = () => many(1 + below(5), () => below(3) ? one(letters) : one(['*', '?', '[ab]', '[!a]', '[1-9]', '**'])).join('')
const tag = () => one(['a', 'b', '1', '_']) + many(below(5), () => one(letters)).join('')
const plain = { dot: true, nobrace: true, noext: true, nocomment: true, nonegate: true }
for (let i = 0; i < count; i++) {
  const [pattern, name] = [glob(), tag()]
  console.log(`glob ${pattern}\t${name}\t${minimatch(name, pattern, plain) ? '1' : '0'}`)
}
