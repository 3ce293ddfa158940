import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Bytecode of Ruby's and Puppet's own files, by path and time of change; made by the first run that needs it. */
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/stringtap-lab-ruby', import.meta.url));

/**
 * Half of an agent run's 5 s of CPU goes into loading Puppet, and none of that is what the lab looks at:
 *
 * - Ruby compiles a thousand files each time; `load_iseq` is its hook for compiled ones.
 * - Puppet's autoloader adds to `$LOADED_FEATURES`, and Ruby 3.1 then resolves the path of every loaded file anew at the next `require`:
 *   360 000 readlink(2) a run. The autoloader keeps a list of its own, too, and does not load a file twice.
 */
const QUICK = `require 'fileutils'
class << RubyVM::InstructionSequence
  def load_iseq(path)
    return nil unless path.start_with?('/usr/')
    kept = File.join(${JSON.stringify(CACHE)}, "#{path}.#{File.mtime(path).to_i}.#{RUBY_VERSION}")
    return load_from_binary(File.binread(kept)) if File.exist?(kept)
    FileUtils.mkdir_p(File.dirname(kept))
    compiled = compile_file(path)
    File.binwrite("#{kept}.#{Process.pid}", compiled.to_binary)
    File.rename("#{kept}.#{Process.pid}", kept)
    compiled
  rescue SystemCallError, RuntimeError, SyntaxError
    nil
  end
end
def $LOADED_FEATURES.<<(_file) = self
`;

/** Puppet asks for TLS 1.0 as the least and names no most; OpenSSL's configuration file is overruled by that. */
const TLS12 = `require 'openssl'
OpenSSL::SSL::SSLContext.prepend(Module.new { def set_minmax_proto_version(min, _max) = super(min, OpenSSL::SSL::TLS1_2_VERSION) })
`;

/** Writes what {@link rubyEnv} names into an agent's folder. */
export function writeRuby(dir: string): void {
  writeFileSync(join(dir, 'quick.rb'), QUICK);
  writeFileSync(join(dir, 'tls12.rb'), TLS12);
}

/** Environment for the Ruby of the agent in `dir`: quick to load, seldom at collecting garbage, and without TLS 1.3 when that is asked. */
export function rubyEnv(dir: string, tls12: boolean): Readonly<Record<string, string>> {
  return {
    RUBYOPT: ['quick', ...(tls12 ? ['tls12'] : [])].map(name => `-r${join(dir, `${name}.rb`)}`).join(' '),
    RUBY_GC_HEAP_INIT_SLOTS: '800000',
    RUBY_GC_MALLOC_LIMIT: String(256 << 20),
    RUBY_GC_MALLOC_LIMIT_MAX: String(512 << 20),
    RUBY_GC_OLDMALLOC_LIMIT: String(512 << 20),
    RUBY_GC_OLDMALLOC_LIMIT_MAX: String(1 << 30),
  };
}
