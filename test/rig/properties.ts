import fc from 'fast-check';

/**
 * fast-check with one seed for all properties, so that a change is judged by what it changed: the same inputs on every machine.
 * `STRINGTAP_SEED=any` draws new ones each time, to look for what nobody thought of; a failure prints its seed, which can be set here again.
 */
const seed = process.env.STRINGTAP_SEED ?? '20261101';
if (seed !== 'any') fc.configureGlobal({ seed: Number(seed) });

export { fc };
