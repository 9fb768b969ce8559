-- Reads every row, and lets others read and write meanwhile. By itself: in one
-- transaction with the step before it would keep them out.
ALTER TABLE {table}
	VALIDATE CONSTRAINT claimed_or_answered,
	VALIDATE CONSTRAINT claim_is_not_retained,
	VALIDATE CONSTRAINT sealed_has_body,
	VALIDATE CONSTRAINT retained_after_expiry;
