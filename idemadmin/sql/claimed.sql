SELECT EXISTS (SELECT FROM {table} WHERE scope = $1 AND key = $2 AND lease_until > clock_timestamp())
