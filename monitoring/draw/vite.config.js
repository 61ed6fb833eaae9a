// One page, built once; the screenshots serve what is in dist/.
import { defineConfig } from 'vite';

export default defineConfig({
  esbuild: { jsx: 'automatic' },
  define: { 'process.env.NODE_ENV': '"production"' },
  build: { target: 'es2022', minify: false, sourcemap: false, chunkSizeWarningLimit: 1e6, reportCompressedSize: false },
});
