{rows}
WHERE scope = $1 AND key = $2
