// A proxyless gRPC client in Node: it takes its endpoints from a control plane (GRPC_XDS_BOOTSTRAP names the bootstrap file), makes COUNT health
// checks to TARGET and prints how many each backend answered, as "NAME N" lines.
//   node client.js TARGET COUNT
const grpc = require('@grpc/grpc-js');
const xds = require('@grpc/grpc-js-xds');

xds.register();
const [target, count] = [process.argv[2], Number(process.argv[3])];
const bytes = (value) => value;  // an empty request, and whatever comes
const Health = grpc.makeGenericClientConstructor({
  check: {path: '/grpc.health.v1.Health/Check', requestStream: false, responseStream: false, requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes},
}, 'grpc.health.v1.Health');
const client = new Health(target, grpc.credentials.createInsecure());

function once(answers) {
  return new Promise((done, fail) => {
    const options = {deadline: Date.now() + 15000};
    const metadata = new grpc.Metadata({waitForReady: true});
    const call = client.check(Buffer.alloc(0), metadata, options, (error) => (error ? fail(error) : done()));
    call.on('metadata', (header) => {
      for (const name of header.get('x-backend')) answers.set(name, (answers.get(name) || 0) + 1);
    });
  });
}

(async () => {
  const answers = new Map();
  for (let i = 0; i < count; ++i) await once(answers);
  for (const name of [...answers.keys()].sort()) console.log(`${name} ${answers.get(name)}`);
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
