// Loaded by the runner before every test file. What a test forks gets the same flags, and is none of its business.
if (process.argv[1]?.endsWith('.test.ts')) await import('./watch-leftovers.ts')
