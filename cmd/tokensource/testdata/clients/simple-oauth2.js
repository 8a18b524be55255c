// Gets a token with each of the two ways to authenticate. Prints them, and what
// a wrong secret brings.
import { readFileSync } from 'node:fs'
import { ClientCredentials } from 'simple-oauth2'

const secret = readFileSync(process.env.TOKENSOURCE_SECRET_FILE, 'utf8').trim()

function client(secret, authorizationMethod) {
  return new ClientCredentials({
    client: { id: 'any', secret },
    auth: { tokenHost: process.env.TOKENSOURCE_URL, tokenPath: '/blink/token' },
    options: { authorizationMethod },
  })
}
for (const method of ['header', 'body']) {
  const token = await client(secret, method).getToken({})
  if (token.expired()) throw new Error('expired on arrival')
  console.log(token.token.access_token)
}
try {
  await client('wrong', 'header').getToken({})
} catch (error) {
  console.log(error.output.statusCode, error.data.payload.error)
}
