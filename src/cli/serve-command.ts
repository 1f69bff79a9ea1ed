/** `nbd-mirror serve`: the options, with their help. */

import { Command, Option } from 'commander';
import type { ServeOptions } from '../daemon/plan/serve-options.ts';
import { collect } from './collect.ts';

const EXAMPLES = `
Sizes are bytes, or have a suffix K, M, G or T (powers of 1024). A device is a file, a block
device, MAJOR:MINOR, memory:NAME,size=SIZE, or an export of another NBD server:
nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=PATH. Without --socket and --listen the server
listens on 127.0.0.1:10809.

Examples:
  nbd-mirror serve --create --size 1G --leg a.img --leg b.img --log disk:log.img --socket m.sock
  nbd-mirror serve --leg /dev/sdb --leg /dev/sdc,offset=1M --log core --handle-errors
  nbd-mirror serve --table '0 2097152 mirror core 1 1024 2 a.img 0 b.img 0 1 handle_errors'
  nbd-mirror serve --table-file mirror.table --listen 127.0.0.1:10809 --name data
  nbd-mirror serve --leg a.img --leg b.img --run 'nbdcopy $uri copy.img'
  nbd-mirror serve --control --socket m.sock

SIGTERM or SIGINT: finish what is in flight, suspend the mirror so that all regions are clean,
exit with 0. A second signal exits at once.`;

export function serveCommand(end: (status: number) => void): Command {
  const command = new Command('serve')
    .summary('serve a mirror, or any table, over NBD')
    .description('Serve a mirror, or any device-mapper table, over NBD.')
    .optionsGroup('A mirror (builds a table line, which is printed):')
    .option('--leg <device[,offset=size]>', 'a leg; twice or more', collect, [])
    .option('--log <core|disk:device>', 'where dirty regions are noted (default: core)')
    .option('--size <size>', 'size of the mirror (default: that of its smallest leg)')
    .option('--region-size <size>', 'size of a region, a power of two (default: 512K)')
    .option('--handle-errors', 'hold writes that failed on a leg, as with dmeventd', false)
    .option('--keep-log', 'with --handle-errors: complete them, and keep the log', false)
    .addOption(new Option('--sync', 'copy everything at start, whatever the log says'))
    .addOption(new Option('--no-sync').hideHelp())
    .addOption(
      new Option('--nosync', 'believe that the legs are equal at start').implies({ sync: false }),
    )
    .optionsGroup('Any table:')
    .option('--table <line>', 'a table line; more of them go below each other', collect, [])
    .option('--table-file <file>', 'the table is in this file ("-": standard input)')
    .option(
      '--log-server <path>',
      'the log server of mirrors with a userspace log (default: as for logd)',
    )
    .optionsGroup('Devices:')
    .option('--create', 'make missing legs and logs as sparse files of the right size', false)
    .option('--overwrite-log', 'take a log device that holds something else', false)
    .option('--resize-log', 'take a log of another number of regions', false)
    .option('--read-only', 'open nothing for writing, copy nothing', false)
    .option('--aio <auto|inline|pool>', 'how files are read and written (default: auto)')
    .option('--resync-throttle <percent>', 'share of the time for resynchronisation (default: 100)')
    .option('--clear-delay <ms>', 'clear regions in the log so much later (default: 0)')
    .option('--poll-us <us>', 'look for requests at most so long before sleeping (default: 64)')
    .optionsGroup("Repair, as LVM's monitor does it (off unless a policy is given):")
    .option('--image-fault-policy <remove|allocate>', 'what to do about a failed leg')
    .option('--log-fault-policy <remove|allocate>', 'what to do about a failed log')
    .option('--spare <device>', 'takes the place of what failed; may be repeated', collect, [])
    .option('--repair-record <file>', 'remembers the new table (default: beside the first file)');
  addClientOptions(command);
  command
    .optionsGroup('Commands at run time (create, status, suspend and so on):')
    .option('--control [path]', 'take them on a unix socket (default: nbd-mirror.ctl in /run)')
    .option('--control-listen <host:port>', 'take them on TCP, with a token')
    .option(
      '--control-token <file>',
      'the token is in this file, which is made where it is missing',
    )
    .optionsGroup('Process:')
    .option('--run <command>', 'run it with $uri in its environment; its exit status is ours')
    .option('--pid-file <file>', 'written when the server is ready')
    .option('--exit-with-parent', 'stop when the parent process ends', false)
    .option('--log-json', 'log lines as JSON', false)
    .option('-v, --verbose', 'log more', false)
    .option('-q, --quiet', 'no table, no URI, no progress', false)
    .helpOption('-h, --help', 'print this')
    // Defaults stand in the descriptions, in the words of people.
    .configureHelp({ optionDescription: (option) => option.description })
    .addHelpText('after', EXAMPLES);
  return command.action(async (options: ServeOptions) => {
    // Loaded here, so that no other command waits for it.
    const { runServer } = await import('../daemon/run-server.ts');
    end(await runServer(options));
  });
}

/** Who is served, and how. */
function addClientOptions(command: Command): void {
  command
    .optionsGroup('Clients:')
    .option('--socket <path>', 'listen on a unix socket')
    .option('--listen <host:port>', 'listen on TCP; may be repeated', collect, [])
    .option('--name <name>', 'name of the export', '')
    .option('--allow <address[/bits]>', 'only these may connect by TCP; repeatable', collect, [])
    .option('--deny <address[/bits]>', 'these may not, whatever is allowed', collect, [])
    .option('--max-connections <number>', 'at once, in all (default: 100)')
    .option('--max-connections-per-export <number>', 'at once (default: as many as in all)')
    .option('--handshake-timeout <seconds>', 'from connect to the export, 0: none (default: 10)')
    .option('--no-structured', 'refuse structured replies')
    .option('--no-extended', 'refuse extended headers')
    .option('--mask-handshake <mask>', 'offer only these handshake flags (default: 0xffff)')
    .option('--qemu-bitmap', 'show region states as qemu:dirty-bitmap:region-state, too', false)
    .optionsGroup('TLS (required where credentials are given, unless --tls says otherwise):')
    .option('--tls <off|on|require>', 'refuse it, leave it to the client, or require it')
    .option(
      '--tls-certificates <folder>',
      'server-cert.pem, server-key.pem, ca-cert.pem, ca-crl.pem',
    )
    .option('--tls-verify-peer', 'clients need a certificate that the authority has signed', false)
    .option(
      '--tls-authorize <subject>',
      'with this subject; * and ? match; repeatable',
      collect,
      [],
    )
    .option('--tls-psk <file>', 'pre-shared keys, lines of user:key in hexadecimal digits')
    .option(
      '--tls-only <name>',
      'with --tls on: never serve this export in the clear',
      collect,
      [],
    );
}
