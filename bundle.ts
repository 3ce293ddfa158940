/*
 * The last step of `npm run build`: the screens with Ink, React and what these load become one file, dist/ui/start.js. From their own
 * packages they are 600 files, which take half a second to find and read. Of src/, analysis/ goes in, too (its 40 rules
 * are a file each, and nothing but functions); the rest stays as the compiler wrote it, so that no class and no state is there twice.
 */
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'rolldown';

const root = fileURLToPath(new URL('.', import.meta.url));
const src = resolve(root, 'src');
const inside = resolve(src, 'analysis');
const NOTHING = '\0nothing';

const plugin: Plugin = {
  name: 'stringtap-screens',
  resolveId(id, importer) {
    // Ink's link to React's developer tools, which are not there.
    if (id === './devtools.js') return NOTHING;
    if (importer === undefined || !id.startsWith('.')) return null;
    const file = resolve(dirname(importer), id);
    if (!file.startsWith(src) || file.startsWith(inside)) return null;
    return { id: relative(resolve(root, 'ui'), file).replace(/\.ts$/, '.js'), external: true };
  },
  load: id => (id === NOTHING ? 'export {}' : null),
};

await build({
  input: resolve(root, 'ui/start.ts'),
  platform: 'node',
  transform: {
    define: {
      'process.env.NODE_ENV': '"production"',
      // Yoga would load its WebAssembly, which is in its source, by way of fetch: Node then loads its HTTP client, for a tenth of a second.
      fetch: 'undefined',
    },
  },
  plugins: [plugin],
  // Names stay, for traces; blanks and comments go: a file of half the size is compiled in half the time.
  output: { file: resolve(root, 'dist/ui/start.js'), format: 'esm', codeSplitting: false, minify: { mangle: false } },
});
