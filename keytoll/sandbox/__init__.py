"""The sandbox provider: OpenAI's protocol on a real loopback socket, with a count of its own.

It stands where a paid provider would, so it knows nothing of how keytoll counts, bills or stores.
Its tokens are words (text between white space), which makes every count easy to check by hand.
"""
