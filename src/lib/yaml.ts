/** Apart, to be loaded when it is needed: of a CommonJS package in a bundle `import()` would give the default export only. */
export { parse } from 'yaml';
