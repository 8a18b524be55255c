// Discovers the server by its issuer, gets a token with each of the two ways to
// authenticate, revokes it and gets another. Prints the three.
import { readFileSync } from 'node:fs'
import * as oauth from 'oauth4webapi'

const insecure = { [oauth.allowInsecureRequests]: true } // http on loopback
const issuer = new URL(`${process.env.TOKENSOURCE_URL}/blink`)
const secret = readFileSync(process.env.TOKENSOURCE_SECRET_FILE, 'utf8').trim()
const server = await oauth.processDiscoveryResponse(issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }))
const client = { client_id: 'any' }

async function token(auth) {
  const response = await oauth.clientCredentialsGrantRequest(server, client, auth, {}, insecure)
  return oauth.processClientCredentialsResponse(server, client, response)
}
const first = await token(oauth.ClientSecretBasic(secret))
console.log(first.access_token)
console.log((await token(oauth.ClientSecretPost(secret))).access_token)
await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, client, oauth.ClientSecretBasic(secret), first.access_token, insecure))
console.log((await token(oauth.ClientSecretBasic(secret))).access_token)
try {
  await token(oauth.ClientSecretBasic('wrong'))
} catch (error) {
  console.log(error.status, error.error ?? error.cause?.[0]?.scheme)
}
