const http = require('http');
const ms = require('ms');

http.createServer((request, response) => {
  response.end(`two days are ${ms('2 days')} ms; ${process.env.NODE_ENV}, user ${process.getuid()}, pid ${process.pid}\n`);
}).listen(Number(process.env.PORT), '127.0.0.1');
