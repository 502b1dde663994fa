import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// Writes app.js.br and app.js.gz beside app.js: the main port serves them by Accept-Encoding and compresses nothing itself.
function precompress(): Plugin {
  const compress = (directory: string): void => {
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      if (statSync(path).isDirectory()) compress(path);
      else if (/\.(js|css|html|svg)$/.test(name)) {
        const bytes = readFileSync(path);
        if (bytes.length < 1024) continue;
        writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
        writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
      }
    }
  };
  let directory = "dist";
  return {
    name: "precompress",
    apply: "build",
    configResolved: (config) => {
      directory = join(config.root, config.build.outDir);
    },
    closeBundle: () => compress(directory),
  };
}

const polis = process.env["POLIS_URL"] ?? "http://127.0.0.1:7400";

export default defineConfig({
  plugins: [react(), precompress()],
  build: { target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0, reportCompressedSize: false },
  // `npm run dev` serves the sources and passes everything else on to a running polis.
  server: { proxy: { "/api": { target: polis, ws: true } } },
});
