SELECT count(DISTINCT h.virtualtransaction) AS transactions
FROM (
{keyholders}
) AS h
